"""Validation of pictures on its own: run it, show the result, log it to MLflow."""
