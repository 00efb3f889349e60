"""Folders and files that cannot be used: one line for the user."""

import errno
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest

from tasks.errors import SettingError, file_fault
from tasks.settings import Settings, read_settings


@pytest.fixture(autouse=True)
def _default_prefect_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_HOME", raising=False)


@pytest.mark.parametrize("below", [".", "deep/below"])
def test_a_home_that_is_a_file_is_reported(below: str, tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    with pytest.raises(SettingError, match=r"home.*\(a file is there\); set FACTORGRID_HOME"):
        Settings(tmp_path / "home" / below, "").create()


def test_prefects_folder_is_reported_by_its_own_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "prefect").touch()
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    with pytest.raises(SettingError, match="set PREFECT_HOME to a folder"):
        Settings(tmp_path / "home", "").create()


@pytest.mark.parametrize("read_only", ["home", "home/artifacts"])
def test_a_read_only_home_or_artifact_store_is_reported(
    read_only: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home" / "artifacts").mkdir(parents=True)
    temporary_file = tempfile.TemporaryFile

    def refuse(*, dir: Path) -> object:  # noqa: A002 # the name of the standard library
        if dir == tmp_path / read_only:
            raise OSError(errno.EROFS, "Read-only file system", str(dir))
        return temporary_file(dir=dir)

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(SettingError, match=rf"{read_only}: .*\(Read-only file system\); set FACT"):
        Settings(tmp_path / "home", "").create()


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.EROFS, "that you can write to"), (errno.ENOSPC, "free space"), (errno.EISDIR, "same")],
)
def test_a_file_that_the_system_refuses_is_for_the_user(number: int, remedy: str) -> None:
    line = file_fault(OSError(number, "reason", "/some/file"))
    assert line is not None
    assert line.startswith("/some/file: reason; ")
    assert remedy in line


@pytest.mark.parametrize(
    "error", [OSError(errno.EIO, "reason", "/file"), OSError("text"), ValueError("no file")]
)
def test_other_errors_are_bugs(error: Exception) -> None:
    assert file_fault(error) is None


def test_the_command_prints_such_a_file_as_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from click.testing import CliRunner

    from flows.cli import main
    from tasks.maintenance import cache

    def refuse(*_: object) -> NoReturn:
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "file"))

    monkeypatch.setenv("FACTORGRID_HOME", str(tmp_path))
    monkeypatch.setattr(cache, "list_caches", refuse)
    result = CliRunner().invoke(main, ["cache"])
    assert result.exit_code == 2
    assert result.output.startswith(f"factorgrid: {tmp_path / 'file'}: Permission denied; name a")


@pytest.mark.parametrize("name", ["what?", "a#b", "a\nb"])
def test_a_home_that_no_address_can_name_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACTORGRID_HOME", str(tmp_path / name))
    with pytest.raises(SettingError, match=r"FACTORGRID_HOME=.* set it to another folder"):
        read_settings()
    assert list(tmp_path.iterdir()) == []


def test_a_new_home_is_for_its_user_only(tmp_path: Path) -> None:
    Settings(tmp_path / "home", "").create()
    assert (tmp_path / "home").stat().st_mode & 0o777 == 0o700
    (tmp_path / "shared").mkdir(mode=0o755)
    Settings(tmp_path / "shared", "").create()
    assert (tmp_path / "shared").stat().st_mode & 0o777 == 0o755
