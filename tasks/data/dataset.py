"""From a source of pictures to a dataset version: validated, split, and decoded once."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import pandas as pd

from models.images.arrays import ArraysWriter, remove_abandoned
from models.images.decoding import DECODING
from models.images.split import SIDES, assign_side
from tasks.data.cache import DatasetVersion, explain_disk_errors, is_complete, write_cache
from tasks.data.check_images import VALIDATION_SHARE, CheckedImages, validate_scan
from tasks.data.garbage_collection import rare_garbage_collection
from tasks.data.measure import ReaderPool
from tasks.data.metadata_store import MetadataStore, short_name
from tasks.data.on_progress import OnProgress
from tasks.data.rules import Rules
from tasks.data.scan import scan
from tasks.data.source import Source
from tasks.errors import DataError


@dataclass(frozen=True)
class SplitShares:
    """The shares of the pictures for training and validation; the rest is for the test."""

    training: float = 0.7
    validation: float = VALIDATION_SHARE


@dataclass(frozen=True)
class DatasetRequest:
    """What is requested of a dataset version.

    Attributes
    ----------
    image_size : pixels per side.
    shares : of the split.
    rules : the rules that pictures must follow; the rules of FactorGrid if None.
    exclude : file -> why a person excluded it.
    per_class : the number of pictures in a sample of each class; all pictures if None.
    seed : of the sample.
    """

    image_size: int
    shares: SplitShares = field(default_factory=SplitShares)
    rules: Rules | None = None
    exclude: Mapping[str, str] = field(default_factory=dict)
    per_class: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Prepared:
    """A dataset version that is ready for training.

    Attributes
    ----------
    arrays_folder : its cache.
    version : the dataset version.
    source : the description of the source.
    description : the number of pictures, and the source.
    accepted, quarantined, passed_over : numbers of files.
    """

    arrays_folder: Path
    version: str
    source: str
    description: str
    accepted: int
    quarantined: int
    passed_over: int


@rare_garbage_collection()
def prepare_dataset(
    source: Source,
    request: DatasetRequest,
    store: MetadataStore,
    cache: Path,
    *,
    on_checked: Callable[[CheckedImages, str], None] | None = None,
    readers: ReaderPool | None = None,
    progress: OnProgress | None = None,
) -> Prepared:
    """Validate a source, stop if a rule is broken, split it, and cache its pixels.

    A new picture is decoded once, for its metadata and for the cache.

    Parameters
    ----------
    source : the pictures.
    request : what is requested of the dataset version.
    store : the metadata of known pictures.
    cache : the folder of all dataset versions.
    on_checked : called with the validated pictures and the dataset version, even if a rule is
        broken.
    readers : the processes to use; if not given, some are started and ended here.
    progress : called with the number of pictures read or decoded.

    Raises
    ------
    DataError
        If a rule for the whole set is broken, the disk is full, or pictures change meanwhile.
    """
    owner = short_name(source)

    def open_writer(rows: int) -> ArraysWriter:
        return ArraysWriter(cache, rows, request.image_size, owner)

    with store.locked(source), explain_disk_errors(cache), ExitStack() as stack:
        remove_abandoned(cache, owner)
        readers = readers or stack.enter_context(ReaderPool())
        # Only the chosen pictures of a small sample of a large source are decoded to the cache.
        decode_all = request.per_class is None or 4 * request.per_class >= len(source.entries)
        found, target = scan(
            source,
            store,
            writer=open_writer if decode_all else None,
            progress=progress,
            readers=readers,
        )
        if target:
            stack.enter_context(target)
        checked = validate_scan(
            source,
            found,
            store,
            rules=request.rules,
            exclude=request.exclude,
            validation_share=request.shares.validation,
        )
        dataset = _split(checked, request)
        if on_checked is not None:
            on_checked(checked, dataset.version)
        checked.raise_if_failed()
        _refuse_an_empty_side(source.description, dataset)
        store.accept(source, checked.profile)
        folder = cache / f"{dataset.version}-{request.image_size}"
        if not is_complete(folder):
            target = target or stack.enter_context(open_writer(len(dataset.rows)))
            write_cache(target, folder, source, dataset, found.written, readers, progress)
    counts = checked.counts
    return Prepared(
        arrays_folder=folder,
        version=dataset.version,
        source=source.description,
        description=f"{len(dataset.rows):,} pictures of {source.description}",
        accepted=len(dataset.rows),
        quarantined=counts["quarantined"],
        passed_over=counts["passed_over"],
    )


def _split(checked: CheckedImages, request: DatasetRequest) -> DatasetVersion:
    """Return the dataset version: the sample of the accepted pictures, and their sides."""
    rows = sample(checked.accepted, request.per_class, request.seed)
    shares = request.shares
    sides = [
        assign_side(checked.groups[path], shares.training, shares.validation)
        for path in rows["path"]
    ]
    return DatasetVersion(version_of(rows, sides), rows, sides)


def _refuse_an_empty_side(description: str, dataset: DatasetVersion) -> None:
    """Refuse a split that has a side without a class, which few pictures can have by chance."""
    labels = dataset.rows["label"].tolist()
    present = set(zip(labels, dataset.sides, strict=True))
    for label, side in product(sorted(set(labels)), range(len(SIDES))):
        if (label, side) not in present:
            raise DataError(
                f"{description}: no picture of {label!r} is on the {SIDES[side]} side: "
                f"{labels.count(label)} are too few for this split; add pictures, or change "
                "training and validation in [data]"
            )


def sample(rows: pd.DataFrame, per_class: int | None, seed: int) -> pd.DataFrame:
    """Return a number of rows of each label, sorted by path; all rows if ``per_class`` is None.

    Rows are drawn by a digest of seed and content: a picture stays in the sample when others are
    added or removed, and a larger sample contains the smaller one.

    Parameters
    ----------
    rows : columns ``path``, ``label``, ``digest``.
    per_class : number of rows per label.
    seed : of the sample.
    """
    if per_class is not None:
        order = [hashlib.sha256(f"{seed}{d}".encode()).hexdigest() for d in rows["digest"]]
        ranked = rows.assign(order=order).sort_values("order")
        rows = ranked.groupby("label").head(per_class).drop(columns="order")
    return rows.sort_values("path", ignore_index=True)


def version_of(rows: pd.DataFrame, sides: Sequence[int]) -> str:
    """Return the dataset version: a digest of contents, labels, sides and the decoding.

    Parameters
    ----------
    rows : columns ``label``, ``digest``: N pictures.
    sides : N indices into `models.images.split.SIDES`.
    """
    lines = sorted(zip(rows["digest"], rows["label"], map(str, sides), strict=True))
    text = "\n".join([str(DECODING), *(" ".join(line) for line in lines)])
    return hashlib.sha256(text.encode()).hexdigest()[:32]
