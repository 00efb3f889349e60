"""The figures of one replicate: samples, confusion matrix, wrong answers."""

import unicodedata
from collections.abc import Sequence

import cv2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from models.images.arrays import ImageArrays
from tasks.figures import font_file

#: How many wrong answers are shown.
WRONG_ANSWERS = 12
#: Size of the sheet of wrong answers, and of each image on it: width and height, pixels.
SHEET_SIZE, IMAGE_SIZE = (1080, 468), (162, 178)
#: Width of one letter of a tick label, inches; letters as wide as those of Hangul count twice.
LETTER_INCHES = 0.085
#: Of a confusion matrix: the least width and height, and those of one class, inches.
MATRIX_INCHES, CLASS_INCHES = (3.6, 3.4), 0.34
#: On the sheet of samples: the largest number of classes, and the images per class.
SAMPLE_CLASSES, SAMPLES_PER_CLASS = 6, 8


def samples(arrays: ImageArrays, seed: int = 1) -> Figure:
    """Draw a sheet of training images as the network sees them, one row per class."""
    rng = np.random.default_rng(seed)
    rows, labels = arrays.side("training"), range(min(len(arrays.classes), SAMPLE_CLASSES))
    figure = Figure(figsize=(SAMPLES_PER_CLASS, len(labels) * 1.02), layout="constrained")
    panels = figure.subplots(len(labels), SAMPLES_PER_CLASS, squeeze=False)
    for label, panel_row in zip(labels, panels, strict=True):
        of_class = rows[arrays.labels[rows] == label]
        chosen = rng.permutation(of_class)[:SAMPLES_PER_CLASS]
        for axes, row in zip(panel_row, chosen, strict=False):
            axes.imshow(arrays.images[row])
        name = arrays.classes[label]
        panel_row[0].set_ylabel(name, fontsize=9, rotation=0, ha="right", va="center")
    for axes in panels.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    return figure


def confusion_matrix(
    labels: NDArray[np.int64], probability: NDArray[np.float32], classes: Sequence[str]
) -> Figure:
    """Draw the confusion matrix: rows are the true classes, columns the answers, in images.

    Parameters
    ----------
    labels : (N,) class indices.
    probability : (N, C); each row adds up to 1.
    classes : the names of the C classes.
    """
    size = len(classes)
    counts = np.zeros((size, size), dtype=int)
    np.add.at(counts, (labels, probability.argmax(axis=1)), 1)
    # Fixed margins here too; the width of the longest name is estimated.
    longest = min(LETTER_INCHES * max(map(_letters, classes)), 0.45 * MATRIX_INCHES[0])
    width, height = (max(least, 1 + longest + CLASS_INCHES * size) for least in MATRIX_INCHES)
    figure = Figure(figsize=(width, height))
    left = 0.5 + longest
    rotated = longest > (0.96 * width - left) / size
    bottom = 0.45 + (longest if rotated else 0.1)
    figure.subplots_adjust(left=left / width, right=0.96, bottom=bottom / height, top=0.97)
    axes = figure.subplots()
    axes.imshow(counts, cmap="Greys", vmin=0)
    for (row, column), count in np.ndenumerate(counts):
        dark = count > counts.max() / 2
        axes.text(
            column, row, f"{count:,}", ha="center", va="center", color="white" if dark else "black"
        )
    axes.set_xticks(range(size), classes, rotation=90 if rotated else 0)
    axes.set_yticks(range(size), classes)
    axes.set_xlabel("answer")
    axes.set_ylabel("truth")
    return figure


def _letters(name: str) -> int:
    """Return the width of a name in letters of the usual width."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in name)


def most_confidently_wrong(
    arrays: ImageArrays, rows: NDArray[np.intp], probability: NDArray[np.float32]
) -> Image.Image:
    """Draw the wrong answers with the highest confidence, the most confident first.

    Drawn with Pillow: matplotlib takes ten times as long for twelve images.

    Parameters
    ----------
    arrays : the images.
    rows : (N,) indices of the images that were predicted.
    probability : (N, C) the predictions.
    """
    labels = arrays.labels[rows]
    wrong = np.flatnonzero(probability.argmax(axis=1) != labels)
    worst = wrong[np.argsort(probability[wrong, labels[wrong]], kind="stable")][:WRONG_ANSWERS]
    sheet = Image.new("RGB", SHEET_SIZE, "white")
    font = ImageFont.truetype(font_file("".join(arrays.classes)), 13)
    pen = ImageDraw.Draw(sheet)
    for position, index in enumerate(worst):
        left, top = _top_left(position)
        image = np.asarray(arrays.images[rows[index]])
        # Small images are enlarged without smoothing: their pixels are what the network sees.
        method = cv2.INTER_AREA if len(image) > IMAGE_SIZE[1] else cv2.INTER_NEAREST
        resized = cv2.resize(image, IMAGE_SIZE, interpolation=method)
        sheet.paste(Image.fromarray(resized), (left, top))
        answer = int(probability[index].argmax())
        # Label, answer and probability: in no language, for reports in all of them.
        caption = (
            f"{arrays.classes[labels[index]]} \N{RIGHTWARDS ARROW}\n"
            f"{arrays.classes[answer]} {probability[index, answer]:.0%}"
        )
        above = (left + IMAGE_SIZE[0] / 2, top - 5)
        pen.multiline_text(above, caption, "black", font, anchor="md", align="center")
    return sheet


def _top_left(position: int) -> tuple[int, int]:
    """Return left and top of an image on the sheet of wrong answers, pixels."""
    per_row = WRONG_ANSWERS // 2
    row, column = divmod(position, per_row)
    return column * SHEET_SIZE[0] // per_row + 9, row * SHEET_SIZE[1] // 2 + 46
