"""From a source of pictures to a dataset version: validated, split, and decoded once."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from models.images.arrays import ArraysWriter, remove_abandoned
from models.images.decoding import DECODING
from models.images.split import SIDES, assign_side
from tasks.data.cache import DatasetVersion, explain_disk_errors, is_complete, write_cache
from tasks.data.drift import drift, profile_of
from tasks.data.duplicates import find_duplicates
from tasks.data.garbage_collection import rare_garbage_collection
from tasks.data.measure import ReaderPool
from tasks.data.metadata_store import MetadataStore, Scan, scan, short_name
from tasks.data.on_progress import OnProgress
from tasks.data.reason import Reason, reasons_as_text
from tasks.data.rules import Rules, Validation, Validator, read_rules
from tasks.data.source import Source
from tasks.errors import DataError


@dataclass(frozen=True)
class SplitShares:
    """The shares of the pictures for training and validation; the rest is for the test."""

    training: float = 0.7
    validation: float = 0.15


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
class CheckedImages:
    """The pictures of a source after validation.

    Attributes
    ----------
    description : of the source.
    metadata : one row per picture found, see `tasks.data.metadata_store.Scan`.
    validation : the result of checking the rules.
    reasons : file -> why it is quarantined; a picture without reasons is accepted.
    passed_over : file -> why it is not a picture.
    groups : file -> the digest that decides its side of the split.
    not_found : names of the exclusion list that are not among the pictures.
    profile : what the drift of the next version is measured from.
    read : number of pictures read; the others were known.
    """

    description: str
    metadata: pd.DataFrame
    validation: Validation
    reasons: dict[str, list[Reason]]
    passed_over: dict[str, Reason]
    groups: dict[str, str] = field(default_factory=dict, repr=False)
    not_found: tuple[str, ...] = ()
    profile: dict[str, Any] = field(default_factory=dict, repr=False)
    read: int = 0

    @property
    def accepted(self) -> pd.DataFrame:
        """The rows of the accepted pictures."""
        return self.metadata[~self.metadata["path"].isin(list(self.reasons))]

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of files: accepted + quarantined + passed_over = found."""
        return {
            "found": len(self.metadata) + len(self.passed_over),
            "accepted": len(self.metadata) - len(self.reasons),
            "quarantined": len(self.reasons),
            "passed_over": len(self.passed_over),
        }

    def raise_if_failed(self) -> None:
        """Stop the study if a rule for the whole set is broken.

        Raises
        ------
        DataError
            With every broken rule.
        """
        if self.validation.faults:
            raise DataError(
                f"{self.description}: {reasons_as_text(self.validation.faults)}; see the reasons "
                "with `factorgrid validate`, then fix the pictures, or change the rules"
            )


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
def check_images(
    source: Source,
    store: MetadataStore,
    *,
    rules: Rules | None = None,
    exclude: Mapping[str, str] | None = None,
    readers: ReaderPool | None = None,
    progress: OnProgress | None = None,
) -> CheckedImages:
    """Read the new pictures of a source, and validate all of its pictures.

    Parameters
    ----------
    source : the pictures.
    store : the metadata of known pictures.
    rules : the rules that pictures must follow; the rules of FactorGrid if not given.
    exclude : file -> why a person excluded it.
    readers : the processes to use; if not given, some are started and ended here.
    progress : called with the number of pictures read.

    Raises
    ------
    DataError
        If a rule cannot be checked, or the store cannot be read or written.
    """
    with store.locked(source):
        found, _ = scan(source, store, progress=progress, readers=readers)
        return validate_scan(source, found, store, rules=rules, exclude=exclude)


def validate_scan(
    source: Source,
    found: Scan,
    store: MetadataStore,
    *,
    rules: Rules | None = None,
    exclude: Mapping[str, str] | None = None,
) -> CheckedImages:
    """Validate scanned pictures: rules for each picture, exclusions, copies, rules for the set."""
    table, exclude = found.table, exclude or {}
    paths = set(table["path"])
    validator = Validator(rules or read_rules())
    broken = validator.check_pictures(table, found.unreadable)
    reasons = {path: list(own) for path, own in broken.items()}
    for path, reason in _excluded(table, exclude):
        reasons.setdefault(path, []).append(reason)
    copies = find_duplicates(table[~table["path"].isin(list(reasons))])
    for path, reason in [*copies.two_labels.items(), *copies.left_out.items()]:
        reasons.setdefault(path, []).append(reason)
    profile = profile_of(table[~table["path"].isin(list(reasons))])
    counted: tuple[Mapping[str, object], ...] = (broken, copies.left_out, copies.two_labels)
    names = ("quarantined_share", "copies_share", "two_labels_share")
    shares = {k: len(v) / max(len(table), 1) for k, v in zip(names, counted, strict=True)}
    differences = drift(profile, store.profile(source))
    faults = validator.check_set({**_class_figures(profile), **shares, **differences})
    return CheckedImages(
        source.description,
        table,
        Validation(broken, faults, validator.result, validator.write_docs),
        reasons,
        source.passed_over,
        copies.groups,
        tuple(sorted(exclude.keys() - paths)),
        profile,
        found.read,
    )


def _excluded(table: pd.DataFrame, exclude: Mapping[str, str]) -> list[tuple[str, Reason]]:
    """Return the pictures that a person excluded, and byte-identical copies of them."""
    named = table[table["path"].isin(list(exclude)) & (table["digest"] != "")]
    by_digest = dict(zip(named["digest"], named["path"], strict=True))
    found = [
        (path, Reason("excluded", {"note": exclude[path]}))
        for path in table["path"]
        if path in exclude
    ]
    for path, digest in zip(table["path"], table["digest"], strict=True):
        if digest in by_digest and path not in exclude:
            found.append((path, Reason("copy_of_excluded", {"of": by_digest[digest]})))
    return found


def _class_figures(profile: Mapping[str, Any]) -> dict[str, float]:
    classes = profile["classes"]
    smallest = min(classes.values()) if len(classes) > 1 else 0.0
    return {
        "accepted": profile["accepted"],
        "classes": len(classes),
        "smallest_class_share": smallest,
    }


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
        checked = validate_scan(source, found, store, rules=request.rules, exclude=request.exclude)
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
