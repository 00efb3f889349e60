"""Processes that FactorGrid starts: how they end with it, and free ports for servers."""
