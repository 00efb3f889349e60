"""Training: a stage's replicates, each in a process of its own, here or on other machines."""
