"""A registered network as a LiteRT file, for phones, small machines and programs without Keras."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.errors import ConversionError
from models.images.drawn import draw
from models.training.litert import in_float32, litert_answers, to_litert
from models.training.result import probability
from tasks.errors import UserError
from tasks.registry.model_registry import CHAMPION, Registry
from tasks.settings import Settings
from tasks.tracking.tracker import Tracker
from tasks.whole_file import write_whole

SUFFIX = ".tflite"
#: Images on which the converted network must answer as the registered one does.
CHECKED_IMAGES = 8
#: How much the probability of a class may differ; float32 sums in another order differ by 1e-6.
LARGEST_DIFFERENCE = 1e-3


@dataclass(frozen=True)
class Converted:
    """A network that was converted.

    Attributes
    ----------
    model, version : of the registry.
    file, about : the LiteRT file, and the JSON file beside it.
    bytes : size of the LiteRT file.
    classes : names, in the order of the outputs.
    image_size : pixels per side of the input, float32 (batch, size, size, 3) from 0 to 255, RGB.
    difference : the largest difference of a probability from that of the network in float32.
    rounding : the largest difference of a probability between the network in float32 and as it is
        registered: 0, if it computes in float32; one that was trained in mixed bfloat16 rounds.
    """

    model: str
    version: str
    file: str
    about: str
    bytes: int
    classes: tuple[str, ...]
    image_size: int
    difference: float
    rounding: float


def converted_as_json(found: Converted) -> dict[str, Any]:
    """Return what was converted as plain JSON types."""
    return asdict(found)


def converted_as_text(found: Converted) -> str:
    """Return what was written, how it is called, and how equal its answers are."""
    size = found.image_size
    rounded = (
        f" from the network in float32, and {found.rounding:.1e} from the registered one, which "
        "computes in bfloat16"
        if found.rounding
        else ""
    )
    return (
        f"{found.file}: {found.model} version {found.version}, {found.bytes / 1e6:.1f} MB\n"
        f"input: float32 (batch, {size}, {size}, 3), RGB, 0 to 255; output: one logit per class "
        f"({', '.join(found.classes)})\n"
        f"The largest difference of a probability on {CHECKED_IMAGES} drawn images: "
        f"{found.difference:.1e}{rounded}.\n"
        f"{found.about}: the classes and the image size"
    )


def convert_model(settings: Settings, name: str, number: str | None, out: Path) -> Converted:
    """Write a version's network as a LiteRT file, and its classes as JSON beside it.

    Parameters
    ----------
    number : of the version; the champion if not given.
    out : the file to write; it ends in ``.tflite``.

    Raises
    ------
    UserError
        If there is no such version, the file cannot be written, or the network cannot be
        converted.
    """
    if out.suffix != SUFFIX:
        raise UserError(f"--out {out}: a LiteRT file ends in {SUFFIX}; name it so")
    if not out.parent.is_dir():
        raise UserError(f"--out {out}: the folder {out.parent} does not exist; create it")
    registry = Registry.open(Tracker.open(settings, create=False), name)
    version = registry.version(number) if number else registry.version_of(CHAMPION)
    if version is None:
        raise UserError(f"model {name}: no version is champion; name one with --version N")
    served = registry.load(version).python_model
    try:
        exact = in_float32(served.network)
        content = to_litert(exact)
    except ConversionError as error:
        raise UserError(f"model {name} version {version.version}: {error}") from error
    images = draw(CHECKED_IMAGES, served.image_size, seed=1)[0].astype(np.float32)
    expected = probability(np.asarray(exact.predict(images, verbose=0)))
    rounding = 0.0
    if exact is not served.network:
        registered = probability(np.asarray(served.network.predict(images, verbose=0)))
        rounding = float(np.abs(registered - expected).max())
    difference = float(np.abs(probability(litert_answers(content, images)) - expected).max())
    if not difference <= LARGEST_DIFFERENCE:
        raise UserError(
            f"model {name} version {version.version}: the converted network answers differently, "
            f"by {difference:.2g} in a probability; nothing was written: serve it with MLflow"
        )
    about = out.with_suffix(".json")
    found = Converted(
        name,
        str(version.version),
        str(out),
        str(about),
        len(content),
        tuple(served.classes),
        served.image_size,
        difference,
        rounding,
    )
    try:
        write_whole(out, content)
        keys = ("model", "version", "classes", "image_size")
        write_whole(about, json.dumps({key: asdict(found)[key] for key in keys}, indent=1))
    except OSError as error:
        raise UserError(
            f"--out {out}: {error.strerror}; name a file that can be written"
        ) from error
    return found
