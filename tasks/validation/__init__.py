"""Validating pictures on their own."""
