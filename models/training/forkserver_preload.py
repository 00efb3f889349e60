"""What the slots' server imports once, so that its children start with Keras loaded.

The only module here that does something when it is imported: `multiprocessing`'s forkserver takes
names of modules, not calls. It touches no GPU: a CUDA context does not survive a fork.
"""

import signal

# The server ignores Ctrl-C, but only from when its imports are done. Prefect's cancelling sends
# SIGTERM to the whole group: what it means is the parent's to say, who then kills the children.
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)

import models.training.train  # noqa: E402 # see above
from models.training.backend import load_keras  # noqa: E402 # likewise

__all__ = ["models"]

load_keras()
