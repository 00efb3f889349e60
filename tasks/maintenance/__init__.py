"""Checking a set-up, and removing what is no longer needed."""
