"""Tuners, replays of their searches on tables of trained cells, and summaries of searches."""
