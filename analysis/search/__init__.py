"""The search: its rules, and the models that it goes by."""
