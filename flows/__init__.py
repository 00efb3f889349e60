"""Prefect flows and the command line: the procedure of a study, as prose."""
