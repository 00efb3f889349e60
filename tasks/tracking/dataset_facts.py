"""What the analysis needs to know of the dataset, kept as params of the parent run."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from analysis.runs.response import ConstantAnswer, Response
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
    constant_loss : cross-entropy (nats) of the best constant answer on them; None in executions of
        versions before 0.3.
    smallest_class : number of them of the smallest class; 0 if it is not known.
    """

    classes: int
    validation_images: int
    chance: float
    pictures: str
    constant_loss: float | None = None
    smallest_class: int = 0

    def images_of(self, response: Response) -> int | None:
        """Return of how many images a response is a share of right answers; None if it is none."""
        return response.images(self.validation_images, self.classes, self.chance)

    def floor_of(self, response: Response) -> float | None:
        """Return the figure of the best constant answer; None if it is not known."""
        loss = self.constant_loss
        if response.floor is None or (loss is None and response.lower):
            return None
        return response.floor(ConstantAnswer(self.classes, self.chance, loss or 0.0))

    @classmethod
    def of(cls, arrays: ImageArrays, pictures: str) -> "DatasetFacts":
        """Compute them from the arrays; `pictures` is the description."""
        labels = arrays.labels[arrays.side("validation")]
        counts = np.bincount(labels, minlength=len(arrays.classes))
        chance = round(float(counts.max() / len(labels)), 6)
        constant = ConstantAnswer.of(counts.tolist())
        return cls(
            len(arrays.classes),
            len(labels),
            chance,
            pictures,
            round(constant.loss, 6),
            int(counts.min()),
        )

    @classmethod
    def of_params(cls, params: Mapping[str, str]) -> "DatasetFacts":
        """Read them back from a parent run's params.

        Raises
        ------
        KeyError
            If one of them was not logged.
        """
        added = {"constant_loss", "smallest_class"}
        values = {f.name: params[f"data.{f.name}"] for f in fields(cls) if f.name not in added}
        loss = params.get("data.constant_loss")
        return cls(
            int(values["classes"]),
            int(values["validation_images"]),
            float(values["chance"]),
            values["pictures"],
            None if loss in {None, "None"} else float(loss),
            int(params.get("data.smallest_class", 0)),
        )
