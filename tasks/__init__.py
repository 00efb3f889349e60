"""What a study does, and the only modules that talk to an outside system."""
