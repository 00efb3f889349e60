"""Folders of one process, with real processes that end and are killed."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tasks.errors import SettingError
from tasks.processes.own_folder import (
    LONGEST,
    TEMPORARY,
    own_folder,
    remove_abandoned,
    temporary_parent,
)
from tasks.training.device_locks import machine_locks

WORK = """
import sys, tempfile, time
from pathlib import Path
from tasks.processes.own_folder import own_folder, use_own_temporary_folder
if sys.argv[1] == "temporary":
    use_own_temporary_folder()
    folder = Path(tempfile.gettempdir())
else:
    folder = own_folder(Path(sys.argv[1]))
(folder / "file").write_text("partial")
print(folder, flush=True)
sys.stdin.read()
"""


def _start(parent: Path | str, **more: str) -> "tuple[subprocess.Popen[str], Path]":
    kept = {name: value for name, value in os.environ.items() if name != TEMPORARY}
    process = subprocess.Popen(
        [sys.executable, "-c", WORK, parent],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**kept, "PYTHONPATH": str(Path(__file__).parents[3]), **more},
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_only_folders_of_processes_that_have_ended_are_removed(tmp_path: Path) -> None:
    lives, living = _start(tmp_path)
    dies, dead = _start(tmp_path)
    ends, ended = _start(tmp_path)
    (tmp_path / "of-another-machine").mkdir()
    ends.communicate()
    assert not ended.exists()
    dies.kill()
    dies.wait()
    remove_abandoned(tmp_path)
    assert not dead.exists()
    assert (living / "file").exists()
    assert (tmp_path / "of-another-machine").exists()
    lives.communicate()
    remove_abandoned(tmp_path / "missing")
    assert not (tmp_path / "missing").exists()


def test_temporary_files_of_a_killed_process_are_removed_by_the_next_one() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="t-") as name:
        _remove_temporary_files(Path(name))


def _remove_temporary_files(folder: Path) -> None:
    dies, dead = _start("temporary", TMPDIR=str(folder))
    assert dead.parent.parent == folder
    assert dead.parent.stat().st_mode & 0o777 == 0o700
    dies.kill()
    dies.wait()
    ends, ended = _start("temporary", TMPDIR=str(folder))
    assert ended != dead
    assert not dead.exists()
    ends.communicate()
    assert not ended.exists()


def test_a_long_name_is_not_made_longer(tmp_path: Path) -> None:
    long = tmp_path / ("x" * LONGEST)
    long.mkdir()
    ends, used = _start("temporary", TMPDIR=str(long))
    assert used == long
    ends.communicate()


def test_a_process_has_one_folder_below_another(tmp_path: Path) -> None:
    assert own_folder(tmp_path) == own_folder(tmp_path)
    assert own_folder(tmp_path).parent == tmp_path


@pytest.mark.parametrize("kind", ["file", "writable", "link"])
def test_a_temporary_folder_that_others_can_write_to_is_not_used(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TEMPORARY, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = tmp_path / f"factorgrid-{os.getuid()}"
    if kind == "file":
        folder.touch()
    elif kind == "link":
        (tmp_path / "elsewhere").mkdir()
        folder.symlink_to(tmp_path / "elsewhere")
    else:
        folder.mkdir()
        folder.chmod(0o777)
    assert temporary_parent() is None
    with pytest.raises(SettingError, match="set FACTORGRID_LOCKS to another one"):
        machine_locks()
    ends, used = _start("temporary", TMPDIR=str(tmp_path))
    assert used == tmp_path
    ends.communicate()


def test_a_folder_is_held_over_an_exec(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; "
        "from tasks.processes.own_folder import keep_own_folders_over_exec, own_folder; "
        "print(own_folder(Path(sys.argv[1])), flush=True); keep_own_folders_over_exec(); "
        "os.execv('/bin/cat', ['cat'])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        process.stdin.write("now cat answers\n")
        process.stdin.flush()
        assert process.stdout.readline() == "now cat answers\n"
        remove_abandoned(tmp_path)
        assert folder.is_dir()
    remove_abandoned(tmp_path)
    assert not folder.exists()


def test_multiprocessing_removes_its_own_folder_first(tmp_path: Path) -> None:
    code = (
        "import multiprocessing.util, os, sys, tempfile; from pathlib import Path; "
        "from tasks.processes.own_folder import own_folder; "
        "tempfile.tempdir = str(own_folder(Path(sys.argv[1]))); "
        "print(multiprocessing.util.get_temp_dir())"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, tmp_path],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert str(tmp_path) in ended.stdout
    assert ended.stderr == ""
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
