"""Checking an installation, and removing what is no longer needed."""
