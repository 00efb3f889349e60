"""Tracking in MLflow: runs, their leases, artifacts and tables."""
