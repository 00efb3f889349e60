"""The folder by which another machine trains: interrupted copies, and folders of somebody else."""

import json
import shutil
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from support.small_study import write_study

from analysis.search import procedure
from models.training.result import ReplicateResult
from tasks.errors import HandedOverError, UserError
from tasks.study.replicates import Planned, plan
from tasks.study.study_file import load_study
from tasks.training.handover import Handover


@pytest.fixture
def planned(tmp_path: Path) -> Planned:
    study = load_study(str(write_study(tmp_path)))
    return plan(study, "version", "screen", procedure.screen_runs(study.rules))[0]


def cache(folder: Path, content: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "images.npy").write_text(content, encoding="utf-8")
    return folder


def hand_over(folder: Path, planned: Planned, arrays: Path) -> None:
    handover = Handover(folder)
    assert handover.find_result(planned) is None
    with pytest.raises(HandedOverError, match="the screen stage has 1 replicate to train"):
        handover.write_jobs(arrays)


def test_a_folder_of_somebody_else_is_kept(tmp_path: Path, planned: Planned) -> None:
    mine = cache(tmp_path / "trip" / "arrays", "mine")
    handover = Handover(tmp_path / "trip")
    handover.find_result(planned)
    with pytest.raises(UserError, match=r"a folder `arrays` that this command did not write"):
        handover.write_jobs(cache(tmp_path / "version-16", "new"))
    assert (mine / "images.npy").read_text(encoding="utf-8") == "mine"
    assert not (tmp_path / "trip" / "jobs.json").exists()


def test_the_arrays_are_copied_once_and_replaced_by_those_of_other_pictures(
    tmp_path: Path, planned: Planned
) -> None:
    trip = tmp_path / "trip"
    first, second = cache(tmp_path / "a-16", "first"), cache(tmp_path / "b-16", "second")
    hand_over(trip, planned, first)
    (trip / "arrays" / "note").touch()
    hand_over(trip, planned, first)
    assert (trip / "arrays" / "note").exists()
    hand_over(trip, planned, second)
    assert (trip / "arrays" / "images.npy").read_text(encoding="utf-8") == "second"
    assert sorted(file.name for file in trip.iterdir()) == ["arrays", "arrays.txt", "jobs.json"]
    shutil.rmtree(trip / "arrays")
    hand_over(trip, planned, second)
    assert (trip / "arrays" / "images.npy").read_text(encoding="utf-8") == "second"


@pytest.mark.parametrize("moment", ["copytree", "rename", "replace"])
def test_a_copy_that_was_interrupted_is_made_again(
    moment: str, tmp_path: Path, planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    trip = tmp_path / "trip"
    hand_over(trip, planned, cache(tmp_path / "a-16", "first"))
    second = cache(tmp_path / "b-16", "second")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil if moment == "copytree" else Path, moment, interrupted)
        handover = Handover(trip)
        handover.find_result(planned)
        with pytest.raises(KeyboardInterrupt):
            handover.write_jobs(second)
    hand_over(trip, planned, second)
    assert (trip / "arrays" / "images.npy").read_text(encoding="utf-8") == "second"


def test_arrays_whose_mark_was_not_written_are_not_taken_for_those_before(
    tmp_path: Path, planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    trip, first = tmp_path / "trip", cache(tmp_path / "a-16", "first")
    hand_over(trip, planned, first)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", interrupted)
        handover = Handover(trip)
        handover.find_result(planned)
        with pytest.raises(KeyboardInterrupt):
            handover.write_jobs(cache(tmp_path / "b-16", "second"))
    assert (trip / "arrays" / "images.npy").read_text(encoding="utf-8") == "second"
    hand_over(trip, planned, first)
    assert (trip / "arrays" / "images.npy").read_text(encoding="utf-8") == "first"


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("result.json", b'{"status": "fin'),
        ("result.json", b"[]"),
        ("result.json", None),
        ("predictions.npz", b"PK\x03\x04 half"),
        ("predictions.npz", None),
        ("model.keras", b"PK\x03\x04 half"),
        ("model.keras", None),
    ],
)
def test_a_result_that_was_copied_in_part_is_one_line(
    file: str, content: bytes | None, tmp_path: Path, planned: Planned
) -> None:
    folder = tmp_path / "trip" / "results" / planned.key
    folder.mkdir(parents=True)
    content_of = dict.fromkeys(_result_fields(), 0)
    (folder / "result.json").write_text(json.dumps(content_of), encoding="utf-8")
    some = np.zeros((2, 2), np.float32)
    np.savez(folder / "predictions.npz", val_probability=some, test_probability=some)
    np.savez(folder / "model.keras.npz", some)
    (folder / "model.keras.npz").rename(folder / "model.keras")
    assert Handover(tmp_path / "trip").find_result(planned) == folder
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content)
    with pytest.raises(UserError, match=r"is not a whole result .*; copy it again"):
        Handover(tmp_path / "trip").find_result(planned)


def _result_fields() -> list[str]:
    names = [field.name for field in fields(ReplicateResult)]
    return [name for name in names if not name.endswith("_probability")]
