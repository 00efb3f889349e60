"""The commands of `factorgrid`, one module per topic.

A module imports nothing heavy before its command runs, so that ``--help`` answers at once. To add a
command, write its module here and add one line to `COMMANDS` in `flows.cli`.
"""
