"""`python -m selfie_hear.cli`."""

from selfie_hear.cli import main

main()
