"""MLflow: the only room that talks to the tracking server."""
