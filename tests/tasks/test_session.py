"""The slots of a session."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tasks import session
from tasks.settings import Settings


@dataclass(frozen=True)
class ContextOfStudy:
    """Stands for `tasks.training.context.TrainingContext`."""

    settings: Settings
    study: Any
    pool: object


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core cannot be divided")
@pytest.mark.parametrize(("parallel", "opens"), [(2, True), (1, False), (None, False)])
def test_the_final_training_has_all_cores_also_where_a_study_divides_them(
    parallel: int | None, *, opens: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Any] = []

    @contextlib.contextmanager
    def pool(devices: Any, *_: object) -> Iterator[str]:
        opened.append(devices)
        yield "new"
        opened.append("closed")

    monkeypatch.setattr(session, "SlotPool", pool)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    study = SimpleNamespace(parallel=parallel)
    context: Any = ContextOfStudy(Settings(tmp_path, ""), study, "old")
    with cast("Any", session.with_all_cores)(context) as whole:
        assert whole.pool == ("new" if opens else "old")
    if opens:
        (device,), closed = opened
        assert device.threads == len(os.sched_getaffinity(0))
        assert closed == "closed"
    else:
        assert not opened
