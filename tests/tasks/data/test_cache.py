"""The cache: complete or missing, checked before use, listed and cleared."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from support.array_cache import SIZE, flip_byte, leave_partial_cache, write_random_cache

from flows.cli import main
from models.errors import ArraysError
from models.images.array_file import RowLayout
from models.images.arrays import ArraysWriter, lock_if_unused, open_arrays, remove_abandoned, verify
from tasks.data.cache import is_complete
from tasks.maintenance.cache import clear_caches, list_caches


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def change_description(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    about = json.loads((folder / "about.json").read_text())
    change(about)
    (folder / "about.json").write_text(json.dumps(about))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a byte of the first picture": lambda f: flip_byte(f / "images.npy", 130),
    "the last byte": lambda f: flip_byte(f / "images.npy", -1),
    "a byte of the labels": lambda f: flip_byte(f / "rows.npz", 300),
    "cut off": lambda f: (f / "images.npy").write_bytes((f / "images.npy").read_bytes()[:-1000]),
    "no pixels": lambda f: (f / "images.npy").unlink(),
    "no labels": lambda f: (f / "rows.npz").unlink(),
    "half a description": lambda f: (f / "about.json").write_text('{"names": ['),
    "classes in another order": lambda f: change_description(
        f, lambda about: about["classes"].reverse()
    ),
    "a class of another name": lambda f: change_description(
        f, lambda about: about["classes"].__setitem__(0, "cow")
    ),
    "a picture of another name": lambda f: change_description(
        f, lambda about: about["names"].__setitem__(0, "cow.jpg")
    ),
    "another version": lambda f: change_description(
        f, lambda about: about.__setitem__("version", "0")
    ),
    "another description": lambda f: (f / "about.json").write_text("[]"),
    "no description": lambda f: (f / "about.json").unlink(),
    "nothing": empty,
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_cache_is_not_used_and_the_message_says_what_to_do(
    tmp_path: Path, name: str
) -> None:
    folder = write_random_cache(tmp_path / "v-8")
    DAMAGE[name](folder)
    with pytest.raises(ArraysError, match=r"cache .*v-8: .*delete the folder"):
        open_arrays(folder)
    assert not is_complete(folder)
    assert list(tmp_path.iterdir()) == []  # it is removed, and written again later


def test_a_cache_of_an_earlier_version_has_no_seal_and_is_still_used(tmp_path: Path) -> None:
    folder = write_random_cache(tmp_path / "v-8")
    change_description(folder, lambda about: about.pop("seal"))
    assert is_complete(folder)


def test_damage_between_the_spot_checks_is_found_before_a_study(tmp_path: Path) -> None:
    folder = write_random_cache(tmp_path / "v-8")
    flip_byte(folder / "images.npy", RowLayout("", SIZE).offset(1) + 5)
    arrays = open_arrays(folder)  # 64 of 200 pictures are compared, and the second is not
    with pytest.raises(ArraysError, match=r"1\.jpg is damaged"):
        verify(arrays, folder, np.random.default_rng(1))
    assert not is_complete(folder)


def test_a_cache_that_is_being_written_is_neither_removed_nor_cleared(tmp_path: Path) -> None:
    with ArraysWriter(tmp_path, 3, SIZE, "mine") as writer:
        assert remove_abandoned(tmp_path, "mine") == 0
        (found,) = list_caches(tmp_path, tmp_path / "unpacked")
        assert found.state == "being written"
        assert clear_caches([found]) == []
        assert writer.folder.exists()


def test_a_partial_cache_of_a_killed_writer_is_removed_only_by_its_owner(tmp_path: Path) -> None:
    leave_partial_cache(tmp_path, "mine")
    leave_partial_cache(tmp_path, "yours")
    assert remove_abandoned(tmp_path, "mine") == 1
    assert [path.name.split("-")[1] for path in tmp_path.iterdir()] == ["yours"]


def test_a_cache_that_a_study_has_open_is_not_cleared(tmp_path: Path) -> None:
    folder = write_random_cache(tmp_path / "cache" / "v-8")
    arrays = open_arrays(folder)
    with lock_if_unused(folder) as is_unused:
        assert not is_unused
    (found,) = list_caches(tmp_path / "cache", tmp_path / "unpacked")
    assert found.in_use
    assert clear_caches([found]) == []
    del arrays
    assert clear_caches([found]) == [found]
    assert not folder.exists()


def test_the_command_lists_and_clears_caches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACTORGRID_HOME", str(tmp_path))
    write_random_cache(tmp_path / "cache" / "v-8")
    leave_partial_cache(tmp_path / "cache", "mine")
    (tmp_path / "unpacked").mkdir()
    (tmp_path / "unpacked" / "00-1.zip").write_bytes(b"x")

    def answer(*options: str) -> dict[str, object]:
        result = CliRunner().invoke(main, ["cache", "--json", *options])
        assert result.exit_code == 0, result.output
        return dict(json.loads(result.stdout))

    shown = answer()
    states = {row["state"] for row in shown["caches"]}  # type: ignore[attr-defined]
    assert states == {"whole", "left by a killed writer", "an unpacked archive"}
    text = CliRunner().invoke(main, ["cache"]).stdout
    assert "200 pictures at 8 px" in text
    assert answer("--clear")["removed"] == 3
    assert answer()["caches"] == []


def test_an_empty_home_has_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACTORGRID_HOME", str(tmp_path / "new"))
    assert CliRunner().invoke(main, ["cache"]).stdout == "0 in the cache, 0 MB\n"
    assert not (tmp_path / "new").exists()
