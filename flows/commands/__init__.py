"""The commands of `factorgrid`, a module a topic; nothing heavy is imported before one runs."""
