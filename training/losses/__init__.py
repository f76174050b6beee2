"""Losses of the methods, as pure functions."""
