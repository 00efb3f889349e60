"""Damaged files of a home: every command gives its result or one line, never a traceback."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.image_files import archive
from support.small_study import factorgrid, write_study

pytestmark = [pytest.mark.slow, pytest.mark.attack]

#: Files and folders of a home, as patterns below it.
FILES = (
    "cache/*/about.json",
    "cache/*/images.npy",
    "cache/*/rows.npz",
    "locks/place",
    "metadata.db",
    "mlflow.db",
    "up.json",
    "deployed-places.json",
    "validation/*/reasons.json",
    "validation/*/metadata.csv.gz",
    "validation/*/validation.json",
)
FOLDERS = (
    "artifacts",
    "cache",
    "cache/*",
    "locks",
    "logs",
    "prefect",
    "unpacked",
    "validation",
    "work",
)
#: How a file is damaged -> its new content; None makes a folder of it.
DAMAGES: dict[str, bytes | None] = {
    "empty": b"",
    "garbage": bytes(range(256)) * 4,
    "null": b"null",
    "list": b"[]",
    "half": b"",
    "folder": None,
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with pictures, a study, and its home after the study."""
    folder = tmp_path_factory.mktemp("finished")
    archive(folder / "pets.zip", 240)
    path = write_study(folder)
    path.write_text(path.read_text(encoding="utf-8").replace("drawn = 240\n", ""), encoding="utf-8")
    ended = factorgrid("search", path, "--data", folder / "pets.zip", home=folder / "home")
    assert ended.returncode == 0, ended.stderr
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Iterator[Path]:
    """Return a copy; its home is known as a copy, and read where it is."""
    shutil.copytree(finished, tmp_path / "copy")
    yield tmp_path / "copy"
    shutil.rmtree(tmp_path / "copy")


def damage(home: Path, pattern: str, kind: str) -> None:
    found = sorted(home.glob(pattern))
    place = found[0] if found else home / pattern
    old = place.read_bytes() if place.is_file() else b'{"a": 1}'
    if place.is_dir():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    content = old[: len(old) // 2] if kind == "half" else DAMAGES[kind]
    if content is None:
        place.mkdir(parents=True)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


@pytest.mark.parametrize(
    ("pattern", "kind"),
    [*((file, kind) for file in FILES for kind in DAMAGES), *((name, "null") for name in FOLDERS)],
)
def test_damaged_state_is_one_line_or_is_made_again(pattern: str, kind: str, folder: Path) -> None:
    damage(folder / "home", pattern, kind)
    pictures = folder / "pets.zip"
    for words in (
        ["cache"],
        ["validate", "--data", pictures],
        ["search", folder / "study.toml", "--data", pictures],
    ):
        ended = factorgrid(*words, home=folder / "home")
        assert ended.returncode in (0, 2), (words, ended.stderr)
        assert "Traceback" not in ended.stderr, words
        if ended.returncode == 2:
            last = ended.stderr.splitlines()[-1]
            assert last.startswith("factorgrid: "), (words, ended.stderr)
            assert ";" in last, last  # what to do
