"""The model registry: registering, promoting, serving and querying trained networks."""
