"""A study that trains its chosen cell once more, for longer, before it is registered."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.small_study import (
    ACCURACY,
    BEST,
    STUDY,
    Done,
    comparable,
    factorgrid,
    known_accuracy,
    last_execution,
    read_until,
    start_study,
    write_study,
)

from tasks.tracking.execution import Execution

TEXT = STUDY.replace('name = "tiny"', 'name = "tiny"\nfinal_epochs = 6')
#: Parts of an outcome that the final training changes.
OF_THE_FINAL = ("final", "registered", "next_moves")


def accuracy(loss: float) -> dict[str, str]:
    """Return an environment in which six epochs lose this much against four."""
    losses = {**ACCURACY["losses"], "epochs": {4: 0.0, 5: 0.0, 6: loss}}
    return known_accuracy({**ACCURACY, "losses": losses})


def run(home: Path, loss: float, text: str = TEXT) -> tuple[dict[str, Any], str]:
    path = write_study(home.parent, text)
    ended = factorgrid("search", path, "--json", home=home, **accuracy(loss))
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout), ended.stderr


@pytest.fixture(scope="module")
def better(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """Return a study in which six epochs are clearly better than four."""
    home = tmp_path_factory.mktemp("final") / "home"
    outcome, said = run(home, -0.04)
    return Done(home, home.parent / "study.toml", outcome, said)


def final_runs(execution: Execution) -> list[Any]:
    return [x for x in execution.children() if "factorgrid.in_final" in x.data.tags]


def test_the_longer_training_is_registered(better: Done) -> None:
    (trained,) = final_runs(better.execution)
    assert trained.data.params["training.epochs"] == "6"
    assert trained.data.params["conv_layers"] == str(BEST["conv_layers"])
    assert trained.data.tags["factorgrid.verdict"] == "winner"
    final, registered = better.outcome["final"], better.outcome["registered"]
    assert final["run_id"] == registered["run_id"] == trained.info.run_id
    assert final["value"] == trained.data.metrics["val_accuracy"] > final["best_before"]
    assert (final["epochs"], final["usual_epochs"], final["is_better"]) == (6, 4, True)
    # The accuracy of the recipe is that of trainings of one length.
    assert registered["recipe"] is None
    assert "final: 1 replicate\n" in better.said
    client = better.tracker.client
    (version,) = client.search_model_versions("name = 'tiny'")
    assert version.tags["factorgrid.run"] == trained.info.run_id


def test_its_seed_is_another_one(better: Done) -> None:
    (trained,) = final_runs(better.execution)
    same_cell = [
        x
        for x in better.execution.children()
        if all(x.data.params[name] == trained.data.params[name] for name in BEST)
    ]
    assert len({x.data.params["seed"] for x in same_cell}) == len(same_cell) == 3


def test_no_decision_is_based_on_it(better: Done, done: Done) -> None:
    plain, longer = comparable(done.outcome), comparable(better.outcome)
    for outcome in (plain, longer):
        for name in OF_THE_FINAL:
            del outcome[name]
    assert longer == plain
    assert len(better.execution.runs()) == len(done.execution.runs())


def test_the_report_and_the_analysis_say_what_it_did(better: Done) -> None:
    shown = factorgrid("analyze", "--experiment", "tiny", home=better.home).stdout
    assert "trained once more, for 6 epochs instead of 4: accuracy" in " ".join(shown.split())
    file = better.home.parent / "report.html"
    words = ("report", "--experiment", "tiny", "--lang", "ko", "--out", file)
    assert factorgrid(*words, home=better.home).returncode == 0
    page = file.read_text(encoding="utf-8")
    assert "선택된 조합을 4 대신 6 에포크로 한 번 더 학습했다" in page
    # The summary at the top.
    assert "4 에포크의 학습으로 탐색한 뒤 6 에포크 동안 학습한 신경망이다" in page
    assert "최종 학습" in page


def test_a_training_that_is_not_better_is_not_registered(tmp_path: Path) -> None:
    outcome, _ = run(tmp_path / "home", 0.1)
    execution = last_execution(tmp_path / "home", "tiny")
    (trained,) = final_runs(execution)
    assert outcome["final"]["run_id"] == trained.info.run_id
    assert not outcome["final"]["is_better"]
    assert outcome["registered"]["run_id"] != trained.info.run_id
    assert "factorgrid.verdict" not in trained.data.tags
    # A longer training was tried, and did not help.
    assert "longer_training" not in {move["code"] for move in outcome["next_moves"]}


@pytest.mark.slow
def test_a_training_that_fails_leaves_the_best_one_before(tmp_path: Path) -> None:
    outcome, said = run(tmp_path / "home", float("nan"))
    final = outcome["final"]
    assert (final["value"], final["is_better"]) == (None, False)
    assert outcome["registered"]["run_id"] != final["run_id"]
    assert "final    1/1" in said
    shown = factorgrid("analyze", "--experiment", "tiny", home=tmp_path / "home").stdout
    assert "and this training failed" in " ".join(shown.split())


def test_a_finished_study_is_extended_by_one_training(tmp_path: Path) -> None:
    home = tmp_path / "home"
    before, _ = run(home, -0.04, STUDY)
    assert before["final"] is None
    first = last_execution(home, "tiny")
    outcome, _ = run(home, -0.04)
    assert outcome["final"]["is_better"]
    execution = last_execution(home, "tiny")
    assert execution.run_id != first.run_id
    new = [x for x in execution.children() if "factorgrid.reused_from" not in x.data.tags]
    assert [x.info.run_id for x in new] == [x.info.run_id for x in final_runs(execution)]
    assert len(execution.children()) == len(first.children()) + 1


@pytest.mark.study
def test_a_study_that_was_killed_in_it_repeats_this_training_only(tmp_path: Path) -> None:
    home = tmp_path / "home"
    text = TEXT.replace("final_epochs = 6", "final_epochs = 60")
    path = write_study(tmp_path, text)
    process = start_study(path, home, **accuracy(-0.04))
    read_until(process, "final: 1 replicate")
    process.kill()
    process.wait()
    before = {x.info.run_id for x in last_execution(home, "tiny").children()}
    ended = factorgrid("search", path, "--json", home=home, **accuracy(-0.04))
    assert ended.returncode == 0, ended.stderr
    execution = last_execution(home, "tiny")
    finished = [x for x in execution.children() if x.info.status == "FINISHED"]
    new = [x for x in finished if x.info.run_id not in before]
    assert [x.info.run_id for x in new] == [json.loads(ended.stdout)["final"]["run_id"]]
