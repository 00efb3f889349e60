"""A study whose disk becomes full, and is given more space before the same command continues."""

import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attack.compare import StudyState, differences, leftovers, read_state
from attack.record import Attack
from attack.study_process import AttackedStudy

pytestmark = [pytest.mark.slow, pytest.mark.attack, pytest.mark.timeout(3600)]
#: Kilobytes: the study fits into the last one, and Prefect's server does not start in the first.
SMALLEST, LARGEST = 300, 9000
ENOUGH = 256_000

Resize = Callable[[int], None]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, Resize]]:
    """Return an empty folder on a disk of its own, and what changes its size in kilobytes."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options: str) -> "subprocess.CompletedProcess[str]":
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    if (made := mount(f"size={ENOUGH}k")).returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {made.stderr.strip()}")

    def resize(kilobytes: int) -> None:
        resized = mount(f"remount,size={kilobytes}k")
        assert resized.returncode == 0, resized.stderr

    try:
        yield folder, resize
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_full_disk(
    seed: int, attack: Attack, undisturbed: StudyState, disk: tuple[Path, Resize], tmp_path: Path
) -> None:
    folder, resize = disk
    size = random.Random(seed).randrange(SMALLEST, LARGEST)
    resize(size)
    study = AttackedStudy(tmp_path / "study", folder / "home", makes_databases=True)
    try:
        study.start()
        attack.wrong += study.wait()
        effect = f"ended with {study.command.process.returncode}"
        missed = "missed: the study fitted" if study.has_finished else effect
        attack.faults.append(("full disk", f"{size} kB", missed))
        resize(ENOUGH)
        attack.wrong += study.finish()
        attack.wrong += differences(read_state(study), undisturbed)
        attack.wrong += leftovers(study, undisturbed)
    finally:
        study.close()
    assert attack.wrong == []
