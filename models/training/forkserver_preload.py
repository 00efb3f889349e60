"""Imported once by the fork server, so that the children it forks start with Keras loaded.

This is the only module here whose import has an effect, because the forkserver of `multiprocessing`
takes names of modules, not functions. It touches no GPU: a CUDA context does not survive a fork.
"""

import signal

# The server ignores Ctrl-C only after its imports are done, so it is ignored here before them. To
# cancel a run, Prefect sends SIGTERM to the whole process group: the parent handles it, and kills
# the children.
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)

import models.training.train  # noqa: E402 # the signals are set first
from models.training.backend import load_keras  # noqa: E402 # the signals are set first

__all__ = ["models"]

load_keras()
