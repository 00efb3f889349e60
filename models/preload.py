"""What the slots' server imports once, so that its children start with Keras loaded.

The only module here that does something when it is imported: `multiprocessing`'s forkserver takes
names of modules, not calls. It touches no GPU: a CUDA context does not survive a fork.
"""

import models.training
from models.backend import load_keras

__all__ = ["models"]

load_keras()
