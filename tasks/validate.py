"""Great Expectations: rules for each picture and for the whole set. Its only importer."""

import logging
from dataclasses import dataclass
from typing import Any

import pandas as pd

MIN_PIXELS = 8
MAX_ASPECT = 8.0
MIN_PICTURES = 40
MIN_CLASS_SHARE = 0.1
MAX_QUARANTINED = 0.2


@dataclass(frozen=True)
class Validation:
    """What the rules said.

    Attributes
    ----------
    reasons : file -> why it is in quarantine.
    faults : what stops the study, in words; empty where nothing does.
    result : Great Expectations' own results, plain JSON types.
    """

    reasons: dict[str, list[str]]
    faults: tuple[str, ...]
    result: dict[str, Any]


def validate(table: pd.DataFrame) -> Validation:
    """Validate a metadata table, a row a picture.

    Parameters
    ----------
    table : columns ``path``, ``label``, ``width``, ``height`` (pixels), ``aspect`` (long side over
        short), ``contrast`` (standard deviation of grey, 0-255), ``decodable``, ``digest``.
    """
    per_picture = _run("pictures", table, _picture_rules())
    reasons = _reasons(per_picture)
    accepted = table[~table["path"].isin(list(reasons))]
    shares = accepted["label"].value_counts(normalize=True)
    summary = pd.DataFrame(
        {
            "accepted": [len(accepted)],
            "smallest_class_share": [float(shares.min()) if len(shares) > 1 else 0.0],
            "quarantined_share": [len(reasons) / max(len(table), 1)],
        }
    )
    whole = _run("set", summary, _set_rules())
    return Validation(reasons, tuple(_faults(whole)), {"pictures": per_picture, "set": whole})


def _picture_rules() -> list[tuple[Any, str]]:
    import great_expectations.expectations as gxe

    return [
        (gxe.ExpectColumnValuesToBeInSet(column="decodable", value_set=[True]), "not decodable"),
        (
            gxe.ExpectColumnValuesToBeBetween(column="width", min_value=MIN_PIXELS),
            f"narrower than {MIN_PIXELS} pixels",
        ),
        (
            gxe.ExpectColumnValuesToBeBetween(column="height", min_value=MIN_PIXELS),
            f"lower than {MIN_PIXELS} pixels",
        ),
        (
            gxe.ExpectColumnValuesToBeBetween(column="aspect", max_value=MAX_ASPECT),
            f"longer than {MAX_ASPECT:g} times its width",
        ),
        (gxe.ExpectColumnValuesToBeBetween(column="contrast", min_value=1.0), "blank"),
    ]


def _set_rules() -> list[tuple[Any, str]]:
    import great_expectations.expectations as gxe

    between = gxe.ExpectColumnValuesToBeBetween
    return [
        (
            between(column="accepted", min_value=MIN_PICTURES),
            f"fewer than {MIN_PICTURES} pictures are accepted",
        ),
        (
            between(column="smallest_class_share", min_value=MIN_CLASS_SHARE),
            f"a class has less than {MIN_CLASS_SHARE:.0%} of the pictures",
        ),
        (
            between(column="quarantined_share", max_value=MAX_QUARANTINED),
            f"more than {MAX_QUARANTINED:.0%} of the pictures are in quarantine",
        ),
    ]


def _run(name: str, table: pd.DataFrame, rules: list[tuple[Any, str]]) -> list[dict[str, Any]]:
    """Run rules on a table in an ephemeral context; complete results, files by path."""
    import great_expectations as gx

    # It sets its own level as it is imported, and tells of every temporary folder.
    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("metadata").add_dataframe_asset(name)
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": table})
    form: dict[str, Any] = {"result_format": "COMPLETE"}
    if "path" in table:
        form["unexpected_index_column_names"] = ["path"]
    results = []
    for rule, words in rules:
        outcome = batch.validate(rule, result_format=form).to_json_dict()
        results.append({"rule": words, **outcome})
    return results


def _reasons(results: list[dict[str, Any]]) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for result in results:
        for row in result["result"].get("unexpected_index_list") or []:
            reasons.setdefault(row["path"], []).append(result["rule"])
    return reasons


def _faults(results: list[dict[str, Any]]) -> list[str]:
    return [
        f"{result['rule']}: {result['result']['unexpected_list'][0]:.3g}"
        for result in results
        if not result["success"]
    ]
