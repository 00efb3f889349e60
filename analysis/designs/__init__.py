"""Designs: which cells to run."""
