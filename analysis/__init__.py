"""The statistics of designed experiments: pure functions, no input or output."""
