"""A whole study that refines by a second-order surface."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.small_study import STUDY, factorgrid, last_execution, write_study

from analysis.search import procedure


@pytest.mark.slow  # tests/analysis/search holds each rule of it
def test_a_study_refines_by_a_second_order_surface(tmp_path: Path) -> None:
    text = STUDY.replace("[refine]\nbudget = 6", '[refine]\nmethod = "surface"\nbudget = 6')
    home = tmp_path / "home"
    ended = factorgrid("search", write_study(tmp_path, text), home=home)
    assert ended.returncode == 0, ended.stderr
    assert "6 cells from the screen's levels" in ended.stdout
    execution = last_execution(home, "tiny")
    refined = execution.runs("refine")
    cells = refined[["conv_layers", "learning_rate"]].drop_duplicates()
    assert len(cells) == len(refined) == 6
    client = execution.tracker.client
    names = [item.path for item in client.list_artifacts(execution.run_id, "refine")]
    assert names
    for name in names:
        told = execution.tracker.read(execution.run_id, name)
        assert told is not None
        assert b"expected val_accuracy" in told
    page = execution.tracker.read(execution.run_id, "report.html")
    assert page is not None
    assert b"a second-order model of the runs so far" in page
    # A study that was interrupted after its last cell has nothing more to refine.
    rules, runs = execution.study.rules, execution.runs()
    decision = procedure.decide(rules, procedure.screen_effects(rules, execution.runs("screen")))
    for method in ("surface", "gp"):
        own = replace(rules, method=method)
        assert procedure.refined_cells(own, decision, runs, refined, [{}]).cells == ()
