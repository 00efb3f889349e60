"""Where the command imports its packages from: never from the current folder, nor from others."""

import base64
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.small_study import ROOT

import factorgrid
from tasks.environment import prepare_environment

#: Runs the command as its console script does.
SCRIPT = "from factorgrid import main; main()"


def _run(
    *words: str, cwd: Path, path: str = str(ROOT), code: str = SCRIPT
) -> "subprocess.CompletedProcess[str]":
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"}
    return subprocess.run(
        [sys.executable, *(words or ("-P", "-c", code, "--version"))],
        env={**kept, "PYTHONPATH": path},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def _write(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / f"{name}.py").write_text(f"raise RuntimeError('hostile {name}')")
    return folder


def _refusal(ended: "subprocess.CompletedProcess[str]") -> str:
    assert ended.returncode == 2, ended.stderr
    (line,) = ended.stderr.splitlines()
    assert line.startswith("factorgrid: ")
    return line


@pytest.mark.parametrize("words", [("-m", "flows.cli"), ("-m", "factorgrid")])
def test_files_of_the_current_folder_are_not_imported(
    words: tuple[str, str], tmp_path: Path
) -> None:
    folder = _write(tmp_path, "tasks", "analysis", "click", "prefect", "mlflow", "numpy")
    (folder / "models").mkdir()
    ended = _run(*words, "--version", cwd=folder)
    assert (ended.returncode, ended.stdout[:11]) == (0, "factorgrid,"), ended.stderr


def test_an_empty_entry_of_the_path_is_not_the_current_folder(tmp_path: Path) -> None:
    ended = _run(cwd=_write(tmp_path, "tasks", "flows", "click"), path=f":{ROOT}")
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("name", factorgrid.PACKAGES)
def test_another_package_of_the_same_name_is_refused_with_its_place(
    name: str, tmp_path: Path
) -> None:
    other = _write(tmp_path / "lib", name)
    line = _refusal(_run(cwd=tmp_path, path=f"{other}{os.pathsep}{ROOT}"))
    assert f"{other / name}.py is another package {name} than FactorGrid's" in line
    assert f"remove {other} from PYTHONPATH" in line


def test_a_folder_that_hides_a_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lib" / "models").mkdir(parents=True)
    (tmp_path / "lib" / "models" / "__init__.py").touch()
    line = _refusal(_run(cwd=tmp_path, path=f"{tmp_path / 'lib'}{os.pathsep}{ROOT}"))
    assert str(tmp_path / "lib" / "models" / "__init__.py") in line


def _install(site: Path, distribution: str, *files: str) -> None:
    """Record files as those of an installed distribution, as they are now."""
    info = site / f"{distribution}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    rows = []
    for file in files:
        content = (site / file).read_bytes()
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
        rows.append(f"{file},sha256={digest},{len(content)}\n")
    (info / "RECORD").write_text("".join(rows))


def test_a_package_that_overwrote_files_of_ours_is_named(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    shutil.copy(ROOT / "factorgrid.py", site)
    files = [f"{name}/__init__.py" for name in factorgrid.PACKAGES]
    for file in files:
        (site / file).parent.mkdir()
        shutil.copy(ROOT / file, site / file)
    _install(site, "factorgrid", *files)
    code = "import factorgrid; print([factorgrid.find_fault(n) for n in factorgrid.PACKAGES])"
    ended = _run(cwd=tmp_path, path=str(site), code=code)
    assert ended.stdout.strip() == str(["", "", "", ""]), ended.stderr
    (site / "models/__init__.py").write_text("VERSION = 1\n")
    _install(site, "their-models", "models/__init__.py")
    line = _refusal(_run(cwd=tmp_path, path=str(site)))
    assert f"{site}/models/__init__.py is another package models" in line
    assert "it belongs to their-models: uninstall that" in line
    assert "then install FactorGrid again" in line


def test_a_current_folder_that_was_deleted_is_a_one_line_error(tmp_path: Path) -> None:
    code = f"import os; os.chdir('{tmp_path}'); os.rmdir('{tmp_path}'); {SCRIPT}"
    assert "the current folder no longer exists" in _refusal(_run(cwd=tmp_path, code=code))


def test_processes_in_other_folders_get_safe_and_absolute_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = {
        "FACTORGRID_HOME": "home",
        "FACTORGRID_BUILDERS": f"nets{os.pathsep}/srv/nets",
        "MLFLOW_TRACKING_URI": "sqlite:///runs.db",
        "PREFECT_HOME": "p",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = prepare_environment()
    assert settings.home == tmp_path / "home"
    assert os.environ["FACTORGRID_HOME"] == str(tmp_path / "home")
    assert os.environ["FACTORGRID_BUILDERS"] == f"{tmp_path / 'nets'}{os.pathsep}/srv/nets"
    assert os.environ["MLFLOW_TRACKING_URI"] == f"sqlite:///{tmp_path / 'runs.db'}"
    assert os.environ["PYTHONSAFEPATH"] == "1"
