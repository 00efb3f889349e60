"""Figures; returned, never saved."""
