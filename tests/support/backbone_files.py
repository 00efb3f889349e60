"""A small backbone in Keras's native format, and a study that uses it."""

from pathlib import Path
from typing import Any

from models.training.backend import load_keras


def small_backbone(size: int | None = None) -> Any:
    """Return a network of two blocks with batch normalisation, for pixels from 0 to 255."""
    keras = load_keras()
    layers = keras.layers
    keras.utils.set_random_seed(7)
    inputs = keras.Input((size, size, 3))
    x = layers.Rescaling(1 / 127.5, -1.0)(inputs)
    for block, filters in (("block1", 6), ("block2", 12)):
        x = layers.Conv2D(filters, 3, strides=2, padding="same", name=f"{block}_conv")(x)
        x = layers.BatchNormalization(name=f"{block}_bn")(x)
        x = layers.ReLU(6.0, name=f"{block}_relu")(x)
    return keras.Model(inputs, x, name="small")


def write_backbone(file: Path, size: int | None = None) -> Path:
    """Save the small backbone."""
    small_backbone(size).save(file)
    return file
