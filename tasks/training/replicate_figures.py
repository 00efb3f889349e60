"""What one replicate's training looked like, and how a figure becomes a file."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from models.images.arrays import ImageArrays

WORST = 12
#: The sheet of them and each on it, width and height in pixels.
SHEET, PICTURE = (1080, 468), (162, 178)
#: What a letter of a tick's label takes, inches.
LETTER = 0.085
#: Classes on a contact sheet, and pictures of each.
ROWS, ACROSS = 6, 8


def samples(arrays: ImageArrays, seed: int = 1) -> Figure:
    """Draw a contact sheet of training pictures, a row a class, as the network sees them."""
    rng = np.random.default_rng(seed)
    rows, shown = arrays.side("training"), range(min(len(arrays.classes), ROWS))
    figure = Figure(figsize=(ACROSS, len(shown) * 1.02), layout="constrained")
    panels = figure.subplots(len(shown), ACROSS, squeeze=False)
    for label, line in zip(shown, panels, strict=True):
        own = rows[arrays.labels[rows] == label]
        for axes, row in zip(line, rng.permutation(own)[:ACROSS], strict=False):
            axes.imshow(arrays.images[row])
        line[0].set_ylabel(arrays.classes[label], fontsize=9)
    for axes in panels.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    return figure


def learning_curve(history: Sequence[Mapping[str, float]], title: str) -> Figure:
    """Draw accuracy and loss by epoch, training (dashed) and validation (solid)."""
    figure = Figure(figsize=(8, 3.2))
    # By hand: to let matplotlib find the margins takes as long as the drawing.
    figure.subplots_adjust(left=0.1, right=0.98, bottom=0.16, top=0.9, wspace=0.25)
    epochs = [row["epoch"] for row in history]
    panels = figure.subplots(1, 2)
    for axes, what in zip(panels, ("accuracy", "loss"), strict=True):
        for side, style in (("train", "--"), ("val", "-")):
            values = [row[f"{side}_{what}"] for row in history]
            axes.plot(epochs, values, style, color="black", label=_side(side), marker=".")
        axes.set_xlabel("epoch")
        axes.set_ylabel(what)
        axes.xaxis.get_major_locator().set_params(integer=True, nbins=6)
        axes.yaxis.get_major_locator().set_params(nbins=5)
    panels[0].legend(frameon=False)
    figure.suptitle(title, fontsize=10)
    return figure


def _side(side: str) -> str:
    return {"train": "training", "val": "validation"}[side]


def confusion(
    labels: NDArray[np.int64], probability: NDArray[np.float32], classes: Sequence[str]
) -> Figure:
    """Draw the confusion matrix: rows are the truth, columns the answer, in pictures.

    Parameters
    ----------
    labels : (N,) class indices.
    probability : (N, C), rows add up to 1.
    classes : C names.
    """
    size = len(classes)
    counts = np.zeros((size, size), dtype=int)
    np.add.at(counts, (labels, probability.argmax(axis=1)), 1)
    width, height = 3.6, 3.4
    figure = Figure(figsize=(width, height))
    # By hand here, too; what the longest name takes is known well enough.
    longest = min(LETTER * max(map(len, classes)), 0.45 * width)
    left = 0.5 + longest
    upright = longest > (0.96 * width - left) / size
    bottom = 0.45 + (longest if upright else 0.1)
    figure.subplots_adjust(left=left / width, right=0.96, bottom=bottom / height, top=0.97)
    axes = figure.subplots()
    axes.imshow(counts, cmap="Greys", vmin=0)
    for (row, column), count in np.ndenumerate(counts):
        dark = count > counts.max() / 2
        axes.text(
            column, row, f"{count:,}", ha="center", va="center", color="white" if dark else "black"
        )
    axes.set_xticks(range(size), classes, rotation=90 if upright else 0)
    axes.set_yticks(range(size), classes)
    axes.set_xlabel("answer")
    axes.set_ylabel("truth")
    return figure


def most_confidently_wrong(
    arrays: ImageArrays, rows: NDArray[np.intp], probability: NDArray[np.float32]
) -> Image.Image:
    """Draw the wrong answers that were given with the most confidence, worst first.

    Laid out by hand, and not by matplotlib, which takes ten times as long for twelve pictures.

    Parameters
    ----------
    arrays : the images.
    rows : (N,) which of them were judged.
    probability : (N, C) what was answered.
    """
    labels = arrays.labels[rows]
    wrong = np.flatnonzero(probability.argmax(axis=1) != labels)
    worst = wrong[np.argsort(probability[wrong, labels[wrong]], kind="stable")][:WORST]
    sheet = Image.new("RGB", SHEET, "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.truetype(_typeface(), 13)
    for place, index in enumerate(worst):
        left, top = _corner(place)
        picture = np.asarray(arrays.images[rows[index]])
        # Nearest, where a picture is enlarged: its pixels are what the network sees.
        kind = cv2.INTER_AREA if len(picture) > PICTURE[1] else cv2.INTER_NEAREST
        sheet.paste(Image.fromarray(cv2.resize(picture, PICTURE, interpolation=kind)), (left, top))
        answer = int(probability[index].argmax())
        words = (
            f"{arrays.classes[labels[index]]}, answered\n"
            f"{arrays.classes[answer]} {probability[index, answer]:.0%}"
        )
        above = (left + PICTURE[0] / 2, top - 5)
        pen.multiline_text(above, words, "black", font, anchor="md", align="center")
    return sheet


def _corner(place: int) -> tuple[int, int]:
    """Return left and top of a picture on the sheet, pixels."""
    down, across = divmod(place, WORST // 2)
    return across * SHEET[0] // (WORST // 2) + 9, down * SHEET[1] // 2 + 46


@functools.cache
def _typeface() -> str:
    """Return the file of matplotlib's own typeface: that of the other figures."""
    return str(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")
