"""The servers: MLflow, Prefect and its workers."""
