"""The wheel: it has every file, and works in a folder full of files with unfortunate names."""

import json
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.small_study import ROOT, STUDY, environment, write_study

import factorgrid
from tasks.service.local_prefect import LocalServer
from tasks.service.work_pool import Api

pytestmark = pytest.mark.process
#: What is installed, and what the build needs.
SOURCES = (*factorgrid.PACKAGES, "factorgrid.py", "pyproject.toml", "README.md", "LICENSE")
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
HOSTILE = ("tasks", "flows", "analysis", "prefect", "mlflow", "numpy", "keras", "click", "json")


def _run(*words: str | Path, cwd: Path, **more: str) -> "subprocess.CompletedProcess[str]":
    ended = subprocess.run(
        list(map(str, words)),
        env={**environment(cwd / "home"), "PYTHONPATH": str(ROOT / "tests/support/site"), **more},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return ended


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / "src" / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, folder / "src")
    _run(sys.executable, "-P", "-c", BUILD, folder, cwd=folder / "src")
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_has_every_file_of_the_packages(wheel: Path) -> None:
    files = [file for name in factorgrid.PACKAGES for file in (ROOT / name).rglob("*")]
    wanted = {
        file.relative_to(ROOT).as_posix()
        for file in files
        if file.is_file() and "__pycache__" not in file.parts
    }
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
        version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
        info = f"factorgrid-{version}.dist-info"
        metadata = packed.read(f"{info}/METADATA").decode()
        scripts = packed.read(f"{info}/entry_points.txt").decode()
    assert wanted | {"factorgrid.py"} == {name for name in names if not name.startswith(info)}
    assert f"\nVersion: {version}\n" in metadata
    assert "factorgrid = factorgrid:main" in scripts


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with files and folders that have the names of packages."""
    folder = tmp_path_factory.mktemp("hostile")
    for name in HOSTILE:
        (folder / f"{name}.py").write_text(f"raise RuntimeError('hostile {name}')")
    (folder / "models").mkdir()
    return folder


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel beside the packages that it needs; return its command."""
    folder = tmp_path_factory.mktemp("installed")
    _run(sys.executable, "-P", "-m", "venv", "--without-pip", folder / "env", cwd=folder)
    python = folder / "env" / "bin" / "python"
    pip = (sys.executable, "-P", "-m", "pip", "--quiet", "--disable-pip-version-check")
    _run(*pip, "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=folder)
    (site,) = (folder / "env" / "lib").glob("python*/site-packages")
    # Only a path: the finder of the editable installation is not run.
    (site / "others.pth").write_text(f"{Path(pytest.__file__).parents[1]}\n")
    return python.with_name("factorgrid")


@pytest.fixture
def prefect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    server = LocalServer(tmp_path / "server.log")
    try:
        server.wait()
        yield server
    finally:
        server.stop()


@pytest.mark.slow
def test_an_installed_wheel_searches_and_reports_in_a_hostile_folder(
    installed: Path, hostile: Path
) -> None:
    shown = _run(installed, "--version", cwd=hostile).stdout
    assert shown.startswith("factorgrid, version ")
    outcome = json.loads(
        _run(installed, "search", write_study(hostile), "--json", cwd=hostile).stdout
    )
    assert outcome["registered"]["version"] == "1"
    _run(installed, "report", "--experiment", "tiny", "--lang", "ko", cwd=hostile)
    assert (hostile / "tiny.html").stat().st_size


@pytest.mark.slow
def test_each_study_has_its_own_deployments_which_it_changes(
    installed: Path, hostile: Path, prefect: LocalServer
) -> None:
    for name, cron in (("tiny", "0 1 * * *"), ("other", "0 2 * * *"), ("tiny", "0 3 * * *")):
        study = write_study(hostile, STUDY.replace('"tiny"', f'"{name}"'))
        _run(installed, "deploy", study, "--cron", cron, cwd=hostile, **prefect.environment)
    found = Api(prefect.api_url, prefect.password).post("deployments/filter", {})
    assert len(found) == 8
    crons = {
        entry["name"]: [row["schedule"]["cron"] for row in entry["schedules"]]
        for entry in found
        if entry["entrypoint"] == "flows.search.search"
    }
    assert crons == {"tiny": ["0 3 * * *"], "other": ["0 2 * * *"]}
