"""Comparing tuners, on trained cells or with real training."""
