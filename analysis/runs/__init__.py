"""Tables of runs: checked, and their factors found."""
