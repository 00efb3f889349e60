"""Training replicates: each in its own process, on this machine or on others."""
