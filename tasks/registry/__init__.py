"""The model registry: registering, promoting, serving and asking a network."""
