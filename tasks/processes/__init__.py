"""Processes of ours: how they end, and who ends them."""
