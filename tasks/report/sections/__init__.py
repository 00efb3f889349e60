"""The sections of the report, one module each; `tasks.report.html` puts them in order."""
