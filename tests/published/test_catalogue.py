"""Effects and designs that published sources print, as `process-improve` catalogues them.

Each experiment of the catalogue is a full two-level design whose effects are printed. A printed
figure may be off by half a unit of its last digit.
"""

import json
import re
from collections import Counter
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.designs.response_surface import definitive_screening
from analysis.effects.fit import fit_effects
from analysis.factors import Factor

CATALOGUE = files("process_improve") / "datasets" / "experiments" / "reference_catalogue"
#: Experiments with printed effects that were found when this test was written.
FEWEST = 20


def _source(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((CATALOGUE / name).read_text(encoding="utf-8"))
    return content


def _effects(experiment: dict[str, Any], names: set[str]) -> list[tuple[str, str, str]]:
    """Return the printed effects that its runs are known to reproduce: response, term, figure."""
    responses = [response["name"] for response in experiment.get("responses") or []]
    found = []
    for item in experiment.get("expected") or []:
        check = item.get("check")
        known = isinstance(check, dict) and check.get("kind") == "effect"
        if not known or set(check) - {"kind", "term", "model", "response"}:
            continue
        response = check.get("response") or (responses[0] if len(responses) == 1 else "")
        term = str(check["term"])
        number = re.fullmatch(r"-?\d*\.?\d+", str(item["value"]))
        if response and number and set(term.split(":")) <= names:
            found.append((response, term, str(item["value"])))
    return found


def _experiments() -> dict[str, tuple[pd.DataFrame, list[str], list[tuple[str, str, str]]]]:
    """Return the runs, the factors and the printed effects of full two-level designs."""
    found = {}
    for path in sorted(CATALOGUE.iterdir(), key=lambda path: path.name):
        if not path.name.endswith(".json"):
            continue
        for experiment in _source(path.name).get("experiments") or []:
            runs = experiment.get("runs") or {}
            if not runs.get("rows"):
                continue
            table = pd.DataFrame(runs["rows"], columns=runs["columns"])
            names = [factor["name"] for factor in experiment["factors"]]
            if not set(names) <= set(table) or not table[names].isin([-1, 1]).all(axis=None):
                continue
            cells = Counter(map(tuple, table[names].to_numpy().tolist()))
            printed = _effects(experiment, set(names))
            if len(cells) == 2 ** len(names) and len(set(cells.values())) == 1 and printed:
                found[experiment["name"]] = (table, names, printed)
    return found


EXPERIMENTS = _experiments()


def test_the_catalogue_has_enough_experiments() -> None:
    assert len(EXPERIMENTS) >= FEWEST


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_effects_are_those_that_the_source_prints(name: str) -> None:
    table, names, printed = EXPERIMENTS[name]
    factors = [Factor(factor, -1, 1) for factor in names]
    for response in {response for response, _, _ in printed}:
        runs = table[names].assign(y=table[response].astype(float))
        effects = fit_effects(runs, factors, "y", order=len(names), constant=True).terms["effect"]
        for _, term, value in (item for item in printed if item[0] == response):
            found = next(
                x for n, x in effects.items() if set(str(n).split(":")) == set(term.split(":"))
            )
            half_a_unit = 0.5 * 10.0 ** -len(value.partition(".")[2])
            assert found == pytest.approx(float(value), abs=half_a_unit * 1.001), (response, term)


@pytest.mark.parametrize("k", range(4, 13))
def test_definitive_screening_designs_are_as_good_as_the_published_ones(k: int) -> None:
    """Ours are orthogonal, and so have 2 runs more if k is odd (Jones and Nachtsheim, 2011)."""
    (published,) = (
        design
        for design in _source("jones-nachtsheim-2011.json")["designs"]
        if design["name"].endswith(f"-dsd-{k}-factors")
    )
    theirs = np.array(published["runs"]["rows"], dtype=float)[:, 1:]
    factors = [Factor(f"x{i}", -1.0, 1.0) for i in range(k)]
    cells = definitive_screening(factors).cells
    ours = cells[[factor.name for factor in factors]].to_numpy(dtype=float)
    assert len(theirs) == 2 * k + 1
    assert len(ours) == 2 * k + 1 + 2 * (k % 2)
    # Fold-over pairs with one factor at its centre, or none if a column is left out; one centre.
    assert {tuple(row) for row in ours} == {tuple(-row) for row in ours}
    assert cells["centre"].sum() == 1
    assert (ours == 0).sum(axis=1).max() == k
    # Main effects are orthogonal to each other, to interactions and to quadratic terms.
    information = ours.T @ ours
    assert np.allclose(information, np.diag(np.diag(information)))
    assert not (np.einsum("ni,nj,nk->ijk", ours, ours, ours)).any()
    # No main effect has a larger variance than in the published design.
    variance = np.diag(np.linalg.inv(theirs.T @ theirs))
    assert (1 / np.diag(information)).max() <= variance.max() + 1e-9
