"""Analysing anyone's experiment."""
