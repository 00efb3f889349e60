"""Prefect tasks, and the only modules that touch an outside system."""
