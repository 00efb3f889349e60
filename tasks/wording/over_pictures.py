"""The uncertainty of effects over pictures and seeds, as text and as JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from tasks.languages import Translate
from tasks.wording.terminal import fitting_table, wrapped
from tasks.wording.values import fixed, listed, percent, table_as_json, table_number

#: Columns of the table in a terminal, and those that are left out where a line has no room.
COLUMNS = ["effect", "seeds", "pictures", "both", "ci_low", "ci_high"]
OPTIONAL = ["ci_high", "ci_low"]


@dataclass(frozen=True)
class OverPictures:
    """Effects with their standard errors over seeds, over pictures, and over both.

    Attributes
    ----------
    terms : see `analysis.effects.over_pictures.effects_over_pictures`.
    pictures, runs : how many.
    alpha : of the intervals.
    trained_twice : whether a cell was trained with two seeds or more.
    learned : whether the effects are those of the runs that learned, because others did not.
    tested : whether the effects were tested by their standard errors over seeds; without replicates
        these have few degrees of freedom, and Lenth's method is used.
    """

    terms: pd.DataFrame
    pictures: int
    runs: int
    alpha: float
    trained_twice: bool
    learned: bool = False
    tested: bool = True


def over_pictures_as_json(found: OverPictures) -> dict[str, Any]:
    """Return the uncertainty as plain JSON types; what is unknown is null."""
    return {
        "pictures": found.pictures,
        "runs": found.runs,
        "of_runs_that_learned": found.learned,
        "common_part_known": found.trained_twice,
        "terms": table_as_json(found.terms),
    }


def over_pictures_as_text(found: OverPictures, translate: Translate) -> str:
    """Return the table of standard errors, and what each of them covers."""
    names = [str(name) for name in found.terms.index]
    width = max(map(len, names))
    columns = {"": [name.ljust(width) for name in names]}
    for column in COLUMNS:
        columns[column] = ["-" if pd.isna(x) else table_number(x) for x in found.terms[column]]
    sentences = [
        translate(
            "over_pictures",
            pictures=f"{found.pictures:,}",
            runs=found.runs,
            confidence=percent(1 - found.alpha),
        )
    ]
    if found.learned:
        sentences.append(translate("over_pictures_learned"))
    if found.terms["seeds"].isna().all():
        sentences.append(translate("over_pictures_no_seeds"))
    elif not found.trained_twice:
        sentences.append(translate("over_pictures_too_large"))
    title = f"{translate('over_pictures_title')}:"
    return "\n".join([title, "", fitting_table(columns, OPTIONAL), "", *map(wrapped, sentences)])


def active_over_pictures_as_text(
    found: OverPictures | None, active: Sequence[str], translate: Translate
) -> list[str]:
    """Return the standard errors of active effects over pictures, as sentences.

    Parameters
    ----------
    found : None if the answers to the pictures are not stored; there is no sentence then.
    active : the active terms. Without any, the sentence is about the largest effect.
    """
    if found is None:
        return []
    terms = found.terms
    names = [name for name in active if name in terms.index]
    names = names or [str(terms["effect"].abs().idxmax())]
    rows: dict[str, Any] = {name: terms.loc[name] for name in names}
    n = f"{found.pictures:,}"
    if not found.tested or any(pd.isna(row["seeds"]) for row in rows.values()):
        each = [f"{name} {fixed(row['pictures'])}" for name, row in rows.items()]
        return [translate("effects_pictures", n=n, effects=listed(each, translate))]
    each = [
        translate("effect_instead", name=name, both=fixed(row["both"]), seeds=fixed(row["seeds"]))
        for name, row in rows.items()
    ]
    return [translate("effects_both", n=n, effects=listed(each, translate))]
