"""A study: its file, its factors, and the replicates that follow from them."""
