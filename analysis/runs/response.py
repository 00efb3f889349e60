"""The responses of a study: the direction, the floor and the spread of each, in one place.

Whatever chooses a cell or a level asks here which direction is better. The functions of
`analysis.search` take runs with figures as they were measured, and turn them with `Response.sign`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from analysis.runs.direction import lower_is_better

#: A set is imbalanced if its largest class has more than this many times the images of its
#: smallest.
IMBALANCED = 2.0
#: The response of a study that names none, and that on an imbalanced set.
DEFAULT, DEFAULT_IMBALANCED = "val_accuracy", "val_balanced_accuracy"


@dataclass(frozen=True)
class ConstantAnswer:
    """What the best constant answer is worth on the validation images.

    Attributes
    ----------
    classes : number of classes.
    chance : its accuracy: the share of the largest class.
    loss : its cross-entropy in nats: the entropy of the shares of the classes.
    """

    classes: int
    chance: float
    loss: float

    @classmethod
    def of(cls, counts: Sequence[int]) -> "ConstantAnswer":
        """Compute it from the number of images of each class."""
        shares = [count / sum(counts) for count in counts]
        entropy = -sum(share * math.log(share) for share in shares if share > 0)
        return cls(len(counts), max(shares), entropy)


#: From the best constant answer to its figure.
Floor = Callable[[ConstantAnswer], float]


@dataclass(frozen=True)
class Response:
    """What is measured in a run, and how it is to be read.

    Attributes
    ----------
    name : of the column of the runs, and of the metric.
    lower : whether a lower figure is better, as in a loss.
    floor : the figure of a network that gives the same answer for all images; None if it is not
        known.
    per_image : whether the figure is a share of right answers, whose spread over images is
        binomial.
    by_class : whether each class counts as much as any other, whatever the number of its images.
    """

    name: str
    lower: bool = False
    floor: Floor | None = None
    per_image: bool = False
    by_class: bool = False

    @property
    def title(self) -> str:
        """The name in words, without the images: ``accuracy``, ``balanced accuracy``, ``loss``."""
        return self.name.removeprefix("val_").replace("_", " ")

    @property
    def sign(self) -> float:
        """What the figures are multiplied with so that higher is better: 1, or -1 for a loss."""
        return -1.0 if self.lower else 1.0

    def images(self, images: int | None, classes: int, chance: float) -> int | None:
        """Return of how many images the figure is a share; None if it is not one.

        One more right answer changes a balanced accuracy by at least 1 / (classes times the images
        of the largest class).

        Parameters
        ----------
        images : on which it was measured.
        classes : their number.
        chance : the share of the largest class.
        """
        if images is None or not self.per_image:
            return None
        return max(images, round(images * classes * chance)) if self.by_class else images


def _f1_of_the_largest(constant: ConstantAnswer) -> float:
    return 2 * constant.chance / (1 + constant.chance) / constant.classes


_KNOWN = (
    Response("val_accuracy", floor=lambda x: x.chance, per_image=True),
    Response("val_balanced_accuracy", floor=lambda x: 1 / x.classes, per_image=True, by_class=True),
    Response("val_f1_macro", floor=_f1_of_the_largest),
    Response("val_auc", floor=lambda _: 0.5),
    Response("val_loss", lower=True, floor=lambda x: x.loss),
    Response("val_log_loss", lower=True, floor=lambda x: x.loss),
)
#: The responses that a study may have, by name.
RESPONSES = {response.name: response for response in _KNOWN}
#: The second responses that a study may have: what a prediction costs. Of all, lower is better.
SECOND_RESPONSES = ("multiply_adds", "parameters", "seconds_per_image", "bytes_on_disk")


def response_of(name: str) -> Response:
    """Return a response; the direction of one that is not in `RESPONSES` follows from its name."""
    return RESPONSES.get(name) or Response(name, lower=lower_is_better(name))


def is_imbalanced(counts: Sequence[int]) -> bool:
    """Whether a set with these numbers of images per class is imbalanced; see `IMBALANCED`."""
    return len(counts) > 1 and max(counts) > IMBALANCED * min(counts)
