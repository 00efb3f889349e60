"""Comparisons of tuners: with real training on a study's cells, or replayed on a table."""
