"""What the analysis needs to know of the dataset, kept as params of the parent run."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from models.images.arrays import ImageArrays


@dataclass(frozen=True)
class DatasetFacts:
    """What the analysis needs to know of the dataset.

    Attributes
    ----------
    classes : number of classes.
    validation_images : number of images on which the response is measured.
    chance : accuracy of the best constant answer on them.
    pictures : a description of the images, as text.
    """

    classes: int
    validation_images: int
    chance: float
    pictures: str

    @classmethod
    def of(cls, arrays: ImageArrays, pictures: str) -> "DatasetFacts":
        """Compute them from the arrays; `pictures` is the description."""
        labels = arrays.labels[arrays.side("validation")]
        counts = np.bincount(labels, minlength=len(arrays.classes))
        chance = round(float(counts.max() / len(labels)), 6)
        return cls(len(arrays.classes), len(labels), chance, pictures)

    @classmethod
    def of_params(cls, params: Mapping[str, str]) -> "DatasetFacts":
        """Read them back from a parent run's params.

        Raises
        ------
        KeyError
            If one of them was not logged.
        """
        values = {f.name: params[f"data.{f.name}"] for f in fields(cls)}
        return cls(
            int(values["classes"]),
            int(values["validation_images"]),
            float(values["chance"]),
            values["pictures"],
        )
