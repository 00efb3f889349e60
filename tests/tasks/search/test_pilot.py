"""The pilot of a study: where it puts the screen's levels, and that it is off by default."""

import json
import re
import tomllib
from pathlib import Path

import pandas as pd
import pytest
from support.replay import check_replay
from support.small_study import (
    ACCURACY,
    STUDY,
    factorgrid,
    known_accuracy,
    last_execution,
    write_study,
)

from analysis.search.procedure import pilot_runs
from tasks.errors import UserError
from tasks.languages import translator
from tasks.search.confirm import select_cell
from tasks.search.pilot import narrowed_study, plan_pilot
from tasks.study.study_file import (
    PilotFinding,
    Study,
    built_in_studies,
    load_study,
    parse_study,
    read_stored_study,
)
from tasks.study.study_toml import study_toml
from tasks.tracking.execution import study_digest
from tasks.wording.pilot import pilot_as_text


def _study() -> Study:
    content = {
        "name": "wide",
        "pilot": {"enabled": True},
        "factors": {
            "conv_layers": {"low": 3, "high": 7},
            "fc_layers": {"low": 1, "high": 2},
            "learning_rate": {"low": 0.0001, "high": 0.1},
            "optimizer": {"low": "adam", "high": "sgd"},
        },
    }
    return parse_study(content, "wide.toml")


def _runs(study: Study, figures: list[float]) -> pd.DataFrame:
    rows = [
        {**run.levels, "val_accuracy": y}
        for run, y in zip(pilot_runs(study.rules), figures, strict=True)
    ]
    return pd.DataFrame(rows)


def test_a_built_in_study_has_a_pilot_if_a_budget_drives_it() -> None:
    for name in built_in_studies():
        study = load_study(name)
        runs = len(plan_pilot(study, "version"))
        assert runs == (3 if study.method == "budget" else 0)


def test_it_runs_the_learning_rate_at_its_ends_and_all_else_in_the_middle() -> None:
    planned = plan_pilot(_study(), "version")
    assert [p.stage for p in planned] == ["pilot"] * 3
    assert [p.levels["learning_rate"] for p in planned] == [0.0001, 0.00316, 0.1]
    assert {(p.levels["conv_layers"], p.levels["optimizer"]) for p in planned} == {(5, "adam")}


def test_with_a_budget_a_failed_run_of_the_pilot_is_kept_as_failed() -> None:
    content = _study().model_dump(mode="json", include={"name", "factors"})
    given = parse_study({**content, "budget": 20}, "wide.toml")
    study = narrowed_study(given, _runs(given, [0.7, 0.8, float("nan")]))
    found = study.pilot.found[2]
    assert isinstance(found, PilotFinding)
    assert found.figures == (0.7, 0.8, None)
    assert "failed at its high end" in pilot_as_text([found], translator("en"))[0]
    assert read_stored_study(json.loads(study.model_dump_json()), "of a run") == study


def test_levels_are_narrowed_and_the_findings_are_kept() -> None:
    study = narrowed_study(_study(), _runs(_study(), [0.7, 0.74, 0.5]))
    levels = {f.name: f.levels for f in study.factor_list}
    # The pilot never varied these.
    assert levels["conv_layers"] == (3, 7)
    assert levels["fc_layers"] == (1, 2)
    assert levels["learning_rate"] == (0.000562, 0.0178)
    assert levels["optimizer"] == ("adam", "sgd")
    # Version 0.1 kept sentences, which have no figures.
    found = {f.factor: f for f in study.pilot.found if not isinstance(f, str)}
    assert len(found) == len(study.pilot.found)
    assert found["learning_rate"].figures == (0.7, 0.74, 0.5)
    assert (found["learning_rate"].low, found["learning_rate"].high) == (0.000562, 0.0178)
    assert found["conv_layers"].figures == ()
    # What MLflow keeps is a valid study, and its TOML file begins with these levels.
    assert Study.model_validate_json(study.model_dump_json()) == study
    assert parse_study(tomllib.loads(study_toml(study)), "told") == study
    assert plan_pilot(study, "version") == []


def test_a_failed_run_of_the_pilot_is_named() -> None:
    with pytest.raises(UserError, match=r"learning_rate=0\.1.* has no val_accuracy.*correct"):
        narrowed_study(_study(), _runs(_study(), [0.7, 0.74, float("nan")]))


#: The best learning rate is in the middle of its range; half a decade above it is the second best.
PEAK = {
    **ACCURACY,
    "losses": {
        "conv_layers": ACCURACY["losses"]["conv_layers"],
        "learning_rate": {1e-3: 0.17, 3.16e-3: 0.17, 1e-2: 0.0, 3.16e-2: 0.08, 1e-1: 0.17},
    },
}


@pytest.mark.slow
def test_a_study_with_a_pilot_and_a_gaussian_process_finds_the_peak(tmp_path: Path) -> None:
    text = STUDY.replace('name = "tiny"', 'name = "tiny"\n[pilot]\nenabled = true')
    text = text.replace("[refine]\nbudget = 6", '[refine]\nmethod = "gp"\nbudget = 2')
    path, home = write_study(tmp_path, text), tmp_path / "home"
    ended = factorgrid("search", path, home=home, **known_accuracy(PEAK))
    assert ended.returncode == 0, ended.stderr
    assert "Pilot\n-----\n" in ended.stdout
    assert "A Gaussian process on the runs so far chooses 2 cells" in ended.stdout
    execution = last_execution(home, "tiny")
    asked = {stage: len(execution.runs(stage)) for stage in ("pilot", "screen", "refine")}
    assert asked == {"pilot": 3, "screen": 4, "refine": 2}
    assert len(execution.study.pilot.found) == 2
    levels = execution.study.factors["learning_rate"]
    assert (levels.low, levels.high) == (0.00316, 0.0316)
    assert set(execution.runs("screen")["learning_rate"]) == {levels.low, levels.high}
    names = {i.path for i in execution.tracker.client.list_artifacts(execution.run_id, "refine")}
    assert names == {"refine/after-7-runs.txt", "refine/after-8-runs.txt"}
    check_replay(load_study(str(tmp_path / "study.toml")), execution)
    # What was stored is the study after its pilot; its executions are found by the given one.
    given = load_study(str(tmp_path / "study.toml"))
    assert execution.digest == study_digest(given, execution.version)
    selection = select_cell(execution.study, execution.runs())
    assert selection.best == {"conv_layers": 2, "learning_rate": 0.01}
    assert re.search(r"- Best mean.*: conv_layers=2 learning_rate=0.01, ", ended.stdout)
