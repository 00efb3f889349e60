"""The accuracies that the tests' studies train to: whatever the seeds are, the same cells win."""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from known_training import KnownEngine, accuracy_of
from support.small_study import ACCURACY, BEST, CONFIRMED, GRID, write_study

from analysis.search import procedure
from analysis.search.procedure import CellRun
from models.training.train import loss_and_accuracy
from tasks.study.replicates import Planned, plan
from tasks.study.study_file import Study, load_study

#: Images of the study's validation side, of 240.
VALIDATION = np.arange(168, 168 + 41)
LABELS = np.random.default_rng(0).permutation(np.arange(240) % 2)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return load_study(str(write_study(tmp_path_factory.mktemp("study"))))


def trained(planned: Planned) -> KnownEngine:
    """Return the engine of a replicate after its last epoch."""
    job: Any = SimpleNamespace(labels=LABELS, network=SimpleNamespace(output_shape=(None, 2)))
    engine = KnownEngine(job, planned.spec, accuracy_of(planned.spec, ACCURACY), ACCURACY)
    engine.epochs = planned.spec.training.epochs
    return engine


def run_all(study: Study, stage: Any, runs: Iterable[CellRun]) -> pd.DataFrame:
    """Return one row per run, as a study has them."""
    rows = []
    for planned in plan(study, "version", stage, runs):
        logits = trained(planned).logits(VALIDATION)
        _, accuracy = loss_and_accuracy(logits, LABELS[VALIDATION])
        multiply_adds = {1: 29712, 2: 37392, 3: 39696}[int(planned.levels["conv_layers"])]
        found = {"replicate": planned.replicate, "stage": stage, "multiply_adds": multiply_adds}
        rows.append({**planned.levels, study.response: accuracy, **found})
    return pd.DataFrame(rows)


@pytest.mark.parametrize("seed", range(40))
def test_the_grid_and_the_winner_are_the_same_with_every_seed(study: Study, seed: int) -> None:
    study = study.model_copy(update={"seed": seed})
    rules, images = study.rules, len(VALIDATION)
    screen = run_all(study, "screen", procedure.screen_runs(rules))
    decision = procedure.decide(rules, procedure.screen_effects(rules, screen))
    assert {name: list(levels) for name, levels in decision.grid.items()} == GRID
    assert decision.corner == BEST
    found = procedure.refined_cells(rules, decision, screen, screen[:0], ())
    refined = run_all(study, "refine", procedure.refine_runs(rules, found))
    searched = pd.concat([screen, refined]).drop_duplicates(["conv_layers", "learning_rate"])
    selection = procedure.select_cell(rules, searched, images)
    assert list(selection.tied[: rules.confirm_cells]) == CONFIRMED
    confirmed = run_all(study, "confirm", procedure.confirm_runs(rules, selection, searched))
    selection = procedure.select_cell(rules, pd.concat([searched, confirmed]), images)
    assert len(confirmed) == 2
    assert selection.best == selection.chosen == BEST
    assert list(selection.tied) == CONFIRMED
    assert selection.edges == ()


def test_an_engine_comes_from_chance_to_its_accuracy(study: Study) -> None:
    (planned,) = plan(study, "version", "screen", [CellRun(dict(BEST), 1)])
    engine = trained(planned)
    figures = []
    for epoch in range(planned.spec.training.epochs + 1):
        engine.epochs = epoch
        figures.append(loss_and_accuracy(engine.logits(VALIDATION), LABELS[VALIDATION]))
    losses, accuracies = np.transpose(figures)
    width = ACCURACY["noise"] + 0.5 / len(VALIDATION)
    expected = np.linspace(0.5, ACCURACY["best"], len(accuracies))
    np.testing.assert_allclose(accuracies, expected, atol=width)
    assert (np.diff(losses) < 0).all()
    assert engine.train(np.zeros((1, 4), dtype=np.int32)).bad_step == -1
