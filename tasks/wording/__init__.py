"""Findings as text: one function per kind of finding, in every language of `tasks/words.toml`.

Here, and not in `tasks.report`, because the stages of a search log the same texts to MLflow that
the terminal, the HTML page, the JSON output and Prefect's artifacts show.
"""
