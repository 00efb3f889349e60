"""From a source of pictures to a dataset version: validated, split, decoded once."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from models.errors import ArraysError
from models.images import DecodeError, decode, digest_of, open_arrays, side_of, write_arrays
from tasks.errors import DataError
from tasks.ingest import Entry, Source
from tasks.validate import Validation, validate

OnProgress = Callable[[str, int, int], None]
#: Probe size, pixels a side, at which brightness and contrast are read.
PROBE = 32


@dataclass(frozen=True)
class Checked:
    """A source after validation.

    Attributes
    ----------
    metadata : a row a picture found.
    reasons : file -> why it is in quarantine.
    """

    words: str
    metadata: pd.DataFrame
    validation: Validation
    reasons: dict[str, list[str]]
    passed_over: list[str]

    @property
    def accepted(self) -> pd.DataFrame:
        """The rows of the pictures that may be used."""
        return self.metadata[~self.metadata["path"].isin(list(self.reasons))]

    def raise_if_failed(self) -> None:
        """Stop the study where a rule for the whole set is broken.

        Raises
        ------
        DataError
            With every broken rule.
        """
        if self.validation.faults:
            raise DataError(
                f"{self.words}: {'; '.join(self.validation.faults)}; look at the reasons with "
                "`factorgrid validate`, mend the pictures or the rules"
            )

    def to_json(self) -> dict[str, Any]:
        """Return counts and reasons; accepted + quarantined + passed_over = found."""
        return {
            "found": len(self.metadata) + len(self.passed_over),
            "accepted": len(self.accepted),
            "quarantined": len(self.reasons),
            "passed_over": len(self.passed_over),
            "reasons": self.reasons,
            "success": not self.validation.faults,
            "faults": list(self.validation.faults),
        }


@dataclass(frozen=True)
class Prepared:
    """What training needs to know of the pictures."""

    arrays_folder: Path
    version: str
    source: str
    words: str
    accepted: int
    quarantined: dict[str, list[str]]
    passed_over: int
    validation: dict[str, Any] = field(repr=False)


def check(
    source: Source, *, exclude: Mapping[str, str] | None = None, progress: OnProgress | None = None
) -> Checked:
    """Read every picture's metadata and validate it.

    Parameters
    ----------
    source : the pictures.
    exclude : file -> why a person left it out.
    progress : told what is done, how much, of how many.
    """
    metadata = _metadata(source, progress)
    validation = validate(metadata)
    reasons = {path: list(why) for path, why in validation.reasons.items()}
    for path, why in (exclude or {}).items():
        reasons.setdefault(path, []).append(f"excluded: {why}")
    for path, why in _copies(metadata[~metadata["path"].isin(list(reasons))]):
        reasons.setdefault(path, []).append(why)
    return Checked(source.words, metadata, validation, reasons, source.passed_over)


def _metadata(source: Source, progress: OnProgress | None) -> pd.DataFrame:
    rows = []
    for row in _parallel(lambda entry: _describe(entry, source.read(entry)), source.entries):
        rows.append(row)
        if progress is not None:
            progress("checking pictures", len(rows), len(source.entries))
    return pd.DataFrame(rows)


def _parallel(work: Callable[[Entry], Any], entries: list[Entry]) -> Iterator[Any]:
    # Decoders and zlib release the interpreter's lock; two threads use two cores.
    with ThreadPoolExecutor(2) as pool:
        yield from pool.map(work, entries)


def _describe(entry: Entry, data: bytes) -> dict[str, Any]:
    row: dict[str, Any] = {
        "path": entry.path,
        "label": entry.label,
        "bytes": len(data),
        "digest": digest_of(data),
        "decodable": True,
        "why": "",
    }
    try:
        width, height = _size(data)
        probe = decode(data, PROBE)
    except DecodeError as error:
        return row | {"decodable": False, "why": str(error)}
    grey = cv2.cvtColor(probe, cv2.COLOR_RGB2GRAY)
    return row | {
        "width": width,
        "height": height,
        "aspect": max(width, height) / min(width, height),
        "brightness": float(grey.mean()),
        "contrast": float(grey.std()),
    }


def _size(data: bytes) -> tuple[int, int]:
    import io

    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as picture:
            return picture.size
    except Exception as error:  # whatever Pillow trips over, the bytes are no picture
        raise DecodeError(f"no picture: {type(error).__name__}") from error


def _copies(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the copies to leave out: all but one, or all of them where the labels differ."""
    out = []
    for _, group in table[table.duplicated("digest", keep=False)].groupby("digest"):
        paths = list(group["path"])
        if len(set(group["label"])) > 1:
            out += [(p, f"the same picture under two labels: {', '.join(paths)}") for p in paths]
        else:
            out += [(p, f"a copy of {paths[0]}") for p in paths[1:]]
    return out


def prepare(
    source: Source,
    *,
    image_size: int,
    cache: Path,
    per_class: int | None = None,
    seed: int = 0,
    exclude: Mapping[str, str] | None = None,
    training: float = 0.7,
    validation: float = 0.15,
    progress: OnProgress | None = None,
) -> Prepared:
    """Check a source, stop at what breaks the rules, split it, and decode it once.

    Parameters
    ----------
    source : the pictures.
    image_size : pixels a side.
    cache : where dataset versions are kept.
    per_class : a sample of so many of each class, by seed.
    exclude : file -> why a person left it out.
    training, validation : shares of the split; the rest is the test side.
    progress : told what is done, how much, of how many.

    Raises
    ------
    DataError
        If a rule for the whole set is broken.
    """
    checked = check(source, exclude=exclude, progress=progress)
    checked.raise_if_failed()
    rows = _sample(checked.accepted, per_class, seed)
    sides = [side_of(digest, training, validation) for digest in rows["digest"]]
    version = _version(rows, sides)
    folder = cache / f"{version}-{image_size}"
    if not _is_whole(folder):
        _write(folder, source, rows, sides, version, image_size, progress)
    return Prepared(
        arrays_folder=folder,
        version=version,
        source=source.words,
        words=f"{len(rows):,} pictures of {source.words}",
        accepted=len(rows),
        quarantined=checked.reasons,
        passed_over=len(source.passed_over),
        validation={**checked.to_json(), "results": checked.validation.result},
    )


def _sample(rows: pd.DataFrame, per_class: int | None, seed: int) -> pd.DataFrame:
    if per_class is None:
        return rows.sort_values("path", ignore_index=True)
    # By digest and seed: a picture stays in the sample as others come and go.
    order = rows["digest"].map(lambda d: hashlib.sha256(f"{seed}{d}".encode()).hexdigest())
    chosen = rows.assign(order=order).sort_values("order").groupby("label").head(per_class)
    return chosen.drop(columns="order").sort_values("path", ignore_index=True)


def _version(rows: pd.DataFrame, sides: list[int]) -> str:
    lines = sorted(zip(rows["digest"], rows["label"], map(str, sides), strict=True))
    return hashlib.sha256("\n".join(" ".join(line) for line in lines).encode()).hexdigest()[:32]


def _is_whole(folder: Path) -> bool:
    try:
        open_arrays(folder)
    except ArraysError:
        return False
    return True


def _write(
    folder: Path,
    source: Source,
    rows: pd.DataFrame,
    sides: list[int],
    version: str,
    size: int,
    progress: OnProgress | None,
) -> None:
    classes = tuple(sorted(rows["label"].unique()))
    entries = [Entry(path, label) for path, label in zip(rows["path"], rows["label"], strict=True)]

    def images() -> Iterator[Any]:
        decoded = _parallel(lambda entry: decode(source.read(entry), size), entries)
        for index, image in enumerate(decoded):
            yield np.asarray(image)
            if progress is not None:
                progress("decoding", index + 1, len(entries))

    write_arrays(
        folder,
        images(),
        size=size,
        labels=[classes.index(label) for label in rows["label"]],
        sides=sides,
        names=list(rows["path"]),
        classes=classes,
        version=version,
    )
