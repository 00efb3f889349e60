"""From a source of pictures to a dataset version: validated, curated, split, decoded once."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from models.images.arrays import ArraysWriter, sweep
from models.images.decoding import DECODING
from models.images.split import SIDES, side_of
from tasks.data.cache import explain_disk_errors, is_whole, write_cache
from tasks.data.drift import drift, profile_of
from tasks.data.duplicates import find_duplicates
from tasks.data.garbage_collection import rare_garbage_collection
from tasks.data.measure import Readers
from tasks.data.metadata_store import Metadata, Scan, owner_of, scan
from tasks.data.object_store import OnProgress
from tasks.data.rules import Rules, Validation, Validator, read_rules
from tasks.data.source import Source
from tasks.errors import DataError


@dataclass(frozen=True)
class Checked:
    """A source after validation and curation.

    Attributes
    ----------
    words : which source.
    metadata : a row a picture found, see `tasks.data.measure.PictureRow`, with its ``label``.
    validation : what the rules said.
    reasons : file -> why it is in quarantine; what is not in it is accepted.
    passed_over : file -> why it is no picture.
    groups : file -> what decides its side of the split.
    not_found : names of the exclusion list that are not there.
    profile : what the next version's drift is measured from.
    read : how many pictures were read; the others were known.
    """

    words: str
    metadata: pd.DataFrame
    validation: Validation
    reasons: dict[str, list[str]]
    passed_over: dict[str, str]
    groups: dict[str, str] = field(default_factory=dict, repr=False)
    not_found: tuple[str, ...] = ()
    profile: dict[str, Any] = field(default_factory=dict, repr=False)
    read: int = 0

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
                f"{self.words}: {'; '.join(self.validation.faults)}; see the reasons with "
                "`factorgrid validate`, then mend the pictures, or change the rules"
            )

    def to_json(self) -> dict[str, Any]:
        """Return counts and reasons; accepted + quarantined + passed_over = found."""
        return {
            "found": len(self.metadata) + len(self.passed_over),
            "accepted": len(self.metadata) - len(self.reasons),
            "quarantined": len(self.reasons),
            "passed_over": len(self.passed_over),
            "reasons": self.reasons,
            "passed_over_reasons": self.passed_over,
            "success": not self.validation.faults,
            "faults": list(self.validation.faults),
            "excluded_not_found": list(self.not_found),
            "read": self.read,
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


@rare_garbage_collection()
def check_images(
    source: Source,
    store: Metadata,
    *,
    rules: Rules | None = None,
    exclude: Mapping[str, str] | None = None,
    readers: Readers | None = None,
    progress: OnProgress | None = None,
) -> Checked:
    """Read what is new of a source's pictures, and judge all of them.

    Parameters
    ----------
    source : the pictures.
    store : what is known of pictures.
    rules : what they must keep; FactorGrid's own unless given.
    exclude : file -> why a person left it out.
    readers : processes that may have been started before; of its own unless given.
    progress : told what is done, how much, of how many.

    Raises
    ------
    DataError
        If a rule cannot be carried out, or what is known cannot be read or written.
    """
    with store.locked(source):
        found, _ = scan(source, store, progress=progress, readers=readers)
        return judge_images(source, found, store, rules=rules, exclude=exclude)


def judge_images(
    source: Source,
    found: Scan,
    store: Metadata,
    *,
    rules: Rules | None = None,
    exclude: Mapping[str, str] | None = None,
) -> Checked:
    """Judge what a pass found: rules for each picture, exclusions, copies, rules for the set."""
    table, exclude = found.table, exclude or {}
    paths = set(table["path"])
    validator = Validator(rules or read_rules())
    broken = validator.pictures(table)
    reasons = {path: list(why) for path, why in broken.items()}
    for path, why in _excluded(table, exclude):
        reasons.setdefault(path, []).append(why)
    copies = find_duplicates(table[~table["path"].isin(list(reasons))])
    for path, why in [*copies.two_labels.items(), *copies.left_out.items()]:
        reasons.setdefault(path, []).append(why)
    profile = profile_of(table[~table["path"].isin(list(reasons))])
    kinds: tuple[Mapping[str, object], ...] = (broken, copies.left_out, copies.two_labels)
    names = ("quarantined_share", "copies_share", "two_labels_share")
    shares = {k: len(v) / max(len(table), 1) for k, v in zip(names, kinds, strict=True)}
    moved = drift(profile, store.profile(source))
    faults = validator.whole({**_sizes(profile), **shares, **moved})
    return Checked(
        source.words,
        table,
        Validation(broken, faults, validator.result, validator.write_docs),
        reasons,
        source.passed_over,
        copies.groups,
        tuple(sorted(exclude.keys() - paths)),
        profile,
        found.read,
    )


def _excluded(table: pd.DataFrame, exclude: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the pictures that a person left out, and byte-identical copies of them."""
    named = table[table["path"].isin(list(exclude)) & (table["digest"] != "")]
    by_digest = dict(zip(named["digest"], named["path"], strict=True))
    out = [(path, f"excluded: {exclude[path]}") for path in table["path"] if path in exclude]
    for path, digest in zip(table["path"], table["digest"], strict=True):
        if digest in by_digest and path not in exclude:
            out.append((path, f"a copy of {by_digest[digest]}, which is excluded"))
    return out


def _sizes(profile: Mapping[str, Any]) -> dict[str, float]:
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
    store: Metadata,
    *,
    image_size: int,
    cache: Path,
    rules: Rules | None = None,
    exclude: Mapping[str, str] | None = None,
    per_class: int | None = None,
    seed: int = 0,
    training: float = 0.7,
    validation: float = 0.15,
    on_checked: Callable[[Checked, str], None] | None = None,
    readers: Readers | None = None,
    progress: OnProgress | None = None,
) -> Prepared:
    """Check a source, stop at what breaks the rules, split it, and keep its pixels.

    New pictures are decoded once, for their row of the metadata table and for the cache together.

    Parameters
    ----------
    source, store, rules, exclude, readers, progress : see `check`.
    image_size : pixels a side.
    cache : where dataset versions are kept.
    per_class : a sample of so many of each class, by seed.
    training, validation : shares of the split; the rest is the test side.
    on_checked : told the judgement and the dataset version, whether it passed or not.

    Raises
    ------
    DataError
        If a rule for the whole set is broken, the disk is full, or pictures change meanwhile.
    """

    def writer(rows: int) -> ArraysWriter:
        return ArraysWriter(cache, rows, image_size, owner_of(source))

    with store.locked(source), explain_disk_errors(cache), ExitStack() as stack:
        sweep(cache, owner_of(source))
        readers = readers or stack.enter_context(Readers())
        # A small sample of a large source is decoded once it is chosen.
        fused = per_class is None or 4 * per_class >= len(source.entries)
        found, staging = scan(
            source, store, writer=writer if fused else None, progress=progress, readers=readers
        )
        if staging:
            stack.enter_context(staging)
        checked = judge_images(source, found, store, rules=rules, exclude=exclude)
        rows = sample(checked.accepted, per_class, seed)
        sides = [side_of(checked.groups[p], training, validation) for p in rows["path"]]
        version = version_of(rows, sides)
        if on_checked is not None:
            on_checked(checked, version)
        checked.raise_if_failed()
        _refuse_an_empty_side(source.words, rows["label"].tolist(), sides)
        store.accept(source, checked.profile)
        folder = cache / f"{version}-{image_size}"
        if not is_whole(folder):
            target = staging or stack.enter_context(writer(len(rows)))
            write_cache(
                target, folder, source, rows, sides, found.staged, version, readers, progress
            )
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


def _refuse_an_empty_side(words: str, labels: Sequence[str], sides: Sequence[int]) -> None:
    """Refuse a split that could not train, choose or judge: chance decides it where n is small."""
    there = set(zip(labels, sides, strict=True))
    for label, side in product(sorted(set(labels)), range(len(SIDES))):
        if (label, side) not in there:
            raise DataError(
                f"{words}: no picture of {label!r} falls to the {SIDES[side]} side: "
                f"{labels.count(label)} are too few for this split; add pictures, or change "
                "training and validation in [data]"
            )


def sample(rows: pd.DataFrame, per_class: int | None, seed: int) -> pd.DataFrame:
    """Return so many rows of each label, by path; all of them where ``per_class`` is None.

    Rows are drawn by the digest of seed and content: one stays in the sample as others come and go,
    and a larger sample holds the smaller one.

    Parameters
    ----------
    rows : columns ``path``, ``label``, ``digest``.
    """
    if per_class is not None:
        order = [hashlib.sha256(f"{seed}{d}".encode()).hexdigest() for d in rows["digest"]]
        ranked = rows.assign(order=order).sort_values("order")
        rows = ranked.groupby("label").head(per_class).drop(columns="order")
    return rows.sort_values("path", ignore_index=True)


def version_of(rows: pd.DataFrame, sides: Sequence[int]) -> str:
    """Return the dataset version: a digest of contents, labels, sides, and the way of decoding."""
    lines = sorted(zip(rows["digest"], rows["label"], map(str, sides), strict=True))
    text = "\n".join([str(DECODING), *(" ".join(line) for line in lines)])
    return hashlib.sha256(text.encode()).hexdigest()[:32]
