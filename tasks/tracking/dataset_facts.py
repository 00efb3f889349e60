"""What the analysis must know of the pictures, kept as params of the parent run."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from models.images.arrays import ImageArrays


@dataclass(frozen=True)
class DatasetFacts:
    """What the analysis must know of the pictures: kept as params of the parent run.

    Attributes
    ----------
    classes : how many.
    validation_images : that the response is read on.
    chance : accuracy of the best constant answer on them.
    pictures : what they are, in words.
    """

    classes: int
    validation_images: int
    chance: float
    pictures: str

    @classmethod
    def of(cls, arrays: ImageArrays, pictures: str) -> "DatasetFacts":
        """Read them off the arrays."""
        labels = arrays.labels[arrays.side("validation")]
        counts = np.bincount(labels, minlength=len(arrays.classes))
        chance = round(float(counts.max() / len(labels)), 6)
        return cls(len(arrays.classes), len(labels), chance, pictures)

    @classmethod
    def of_params(cls, params: Mapping[str, str]) -> "DatasetFacts":
        """Read them back from a parent run's params."""
        given = {f.name: params[f"data.{f.name}"] for f in fields(cls)}
        return cls(
            int(given["classes"]),
            int(given["validation_images"]),
            float(given["chance"]),
            given["pictures"],
        )
