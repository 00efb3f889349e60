"""The errors that `models` raises; `tasks.errors` says for each one who acts on it."""


class ModelsError(Exception):
    """Any error with images or networks."""


class SpecError(ModelsError, ValueError):
    """A model or training setting is unknown or has an invalid value: the user corrects it."""


class BuilderError(ModelsError):
    """The network of one cell cannot be built: only this cell fails."""


class ArraysError(ModelsError):
    """A cached array is damaged or incomplete: it must be written again."""


class DecodeError(ModelsError, ValueError):
    """The bytes are not an image, or the image is damaged: it goes to quarantine."""
