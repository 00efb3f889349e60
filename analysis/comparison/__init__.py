"""Tuners, and replaying them on tables of trained cells."""
