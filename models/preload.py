"""What the slots' server imports once, so that its children start with Keras loaded.

The only module here that does something when it is imported: `multiprocessing`'s forkserver takes
names of modules, not calls. It touches no GPU: a CUDA context does not survive a fork.
"""

import signal

# The server ignores Ctrl-C, but only from when its imports are done.
signal.signal(signal.SIGINT, signal.SIG_IGN)

import models.training  # noqa: E402 # see above
from models.backend import load_keras  # noqa: E402 # likewise

__all__ = ["models"]

load_keras()
