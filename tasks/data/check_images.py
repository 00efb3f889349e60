"""Checking the pictures of a source: rules, exclusions, copies, drift."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from tasks.data.drift import drift, profile_of
from tasks.data.duplicates import find_duplicates
from tasks.data.garbage_collection import rare_garbage_collection
from tasks.data.measure import ReaderPool
from tasks.data.metadata_store import MetadataStore
from tasks.data.on_progress import OnProgress
from tasks.data.reason import Reason, reasons_as_text
from tasks.data.rules import Rules, Validation, Validator, read_rules
from tasks.data.scan import Scan, scan
from tasks.data.source import Source
from tasks.errors import DataError


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
