"""Pre-training of selfie_hear encoders; run from a checkout as `python -m training`."""
