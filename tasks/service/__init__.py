"""The servers: MLflow, Prefect, and the worker that runs deployments."""
