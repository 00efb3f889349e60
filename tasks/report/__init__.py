"""What a study found, worded for each place where it is shown."""
