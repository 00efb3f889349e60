"""The errors that `models` raises; `tasks.errors` says for each one who acts on it."""


class ModelsError(Exception):
    """Any error with images or networks."""


class SpecError(ModelsError, ValueError):
    """A model or training setting is unknown or has an invalid value: the user corrects it."""


class BuilderError(ModelsError):
    """The network of one cell could not be built: it fails that cell alone."""


class ArraysError(ModelsError):
    """A cached array is damaged or incomplete: it must be written again."""


class DecodeError(ModelsError, ValueError):
    """Bytes that are not a picture, or are a damaged one: that picture goes to quarantine.

    Attributes
    ----------
    kind : the same reason as data: which one, for programs.
    details : the values in the message.
    """

    def __init__(self, message: str, kind: str = "damaged", /, **details: object) -> None:
        super().__init__(message)
        self.kind, self.details = kind, details


class CheckpointError(ModelsError, ValueError):
    """No training can continue from a checkpoint: it starts from the first epoch instead."""


class ConversionError(ModelsError):
    """A network cannot be written in another format."""
