"""A collection of sounds, or one long recording, as a page of HTML to look at and listen to."""
