"""Processes of a study that are killed or stopped at seeded moments; the same command continues."""

import random
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from attack.compare import StudyState, differences, leftovers, read_state
from attack.faults import PHASES, Fault, seeded_faults
from attack.record import Attack
from attack.study_process import AttackedStudy

pytestmark = [pytest.mark.slow, pytest.mark.attack, pytest.mark.timeout(3600)]
#: Faults per home.
FAULTS = 3
#: Phases in which databases are made.
DATABASES = (1, 2)


def _suffer(study: AttackedStudy, faults: Iterable[Fault], attack: Attack) -> None:
    """Let faults happen to a study one after another; it is started whenever it has ended."""
    for fault in faults:
        happened = False
        while not happened and not study.has_finished:
            if not study.is_running:
                study.start()
            happened = fault.happen(study)
            if not happened or fault.ends_command:
                attack.wrong += study.wait()
        effect = _effect(study) if happened else "missed: the study had ended"
        attack.faults.append((fault.process, str(fault), effect))
    attack.wrong += study.finish()


def _effect(study: AttackedStudy) -> str:
    return "goes on" if study.is_running else f"ended with {study.command.process.returncode}"


def _faults_in_databases(seed: int) -> list[Fault]:
    """Return kills while MLflow's and Prefect's databases are made."""
    chance = random.Random(seed)
    phases = [chance.choice(DATABASES) for _ in range(FAULTS)]
    names = ["main", "main", chance.choice(["watcher", "guard", "Prefect server"])]
    return [
        Fault(n, p, chance.uniform(0, PHASES[p].seconds))
        for n, p in zip(names, phases, strict=True)
    ]


def _attack(
    faults: Sequence[Fault],
    attack: Attack,
    undisturbed: StudyState,
    folder: Path,
    *,
    makes_databases: bool = False,
) -> None:
    study = AttackedStudy(folder, makes_databases=makes_databases)
    try:
        _suffer(study, faults, attack)
        attack.wrong += differences(read_state(study), undisturbed)
        attack.wrong += leftovers(study, undisturbed)
    finally:
        study.close()
    assert attack.wrong == []


def test_killed_processes(
    seed: int, attack: Attack, undisturbed: StudyState, tmp_path: Path
) -> None:
    _attack(seeded_faults(seed, FAULTS), attack, undisturbed, tmp_path)


def test_killed_while_databases_are_made(
    seed: int, attack: Attack, undisturbed: StudyState, tmp_path: Path
) -> None:
    faults = _faults_in_databases(seed)
    _attack(faults, attack, undisturbed, tmp_path, makes_databases=True)


def test_stopped_processes(
    seed: int, attack: Attack, undisturbed: StudyState, tmp_path: Path
) -> None:
    faults = seeded_faults(seed, FAULTS, stopped=(2.5, 6))
    _attack(faults, attack, undisturbed, tmp_path)
