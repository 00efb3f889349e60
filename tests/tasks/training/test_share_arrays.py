"""Arrays for machines without a disk in common: put in a store once, brought from there once."""

import platform
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from support.small_study import Done

from models.images.arrays import open_arrays, write_arrays
from tasks.data.dataset import Prepared
from tasks.errors import DataError, SettingError, StudyError, TrackingError
from tasks.settings import Settings, read_settings
from tasks.training.cluster import Site
from tasks.training.share_arrays import bring, offer

SHARE = "memory://bucket/share"


@pytest.fixture
def memory() -> Iterator[Any]:
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A cache of 200 pictures."""
    images = np.random.default_rng(0).integers(0, 256, (200, 8, 8, 3), dtype=np.uint8)
    names = [f"{i}.png" for i in range(200)]
    labels, sides = [i % 2 for i in range(200)], [i % 3 for i in range(200)]
    write_arrays(
        tmp_path / "cache" / "v-8",
        images,
        size=8,
        labels=labels,
        sides=sides,
        names=names,
        classes=["cat", "dog"],
        version="v",
    )
    return tmp_path / "cache" / "v-8"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, memory: Any) -> list[str]:
    """What goes to the store and comes from it."""
    seen: list[str] = []
    for name in ("put_file", "get_file"):
        real = getattr(type(memory), name)

        def noted(
            self: Any, *given: Any, _name: str = name, _real: Any = real, **named: Any
        ) -> Any:
            seen.append(_name)
            return _real(self, *given, **named)

        monkeypatch.setattr(type(memory), name, noted)
    return seen


def _own(tmp_path: Path) -> Settings:
    return Settings(tmp_path / "own", "")


def test_a_cache_is_put_there_once_and_brought_once(
    folder: Path, calls: list[str], tmp_path: Path
) -> None:
    own = _own(tmp_path)
    url = offer(folder, SHARE)
    assert offer(folder, SHARE) == url
    with ThreadPoolExecutor(4) as pool:
        (brought,) = set(pool.map(lambda _: bring(url, own), range(8)))
    assert calls == ["put_file"] * 3 + ["get_file"] * 3
    assert brought == own.cache / "v-8"
    assert [path.name for path in own.cache.iterdir()] == ["v-8"]
    assert np.array_equal(open_arrays(brought).images, open_arrays(folder).images)


def test_an_upload_that_was_cut_off_goes_on(folder: Path, calls: list[str], memory: Any) -> None:
    url = offer(folder, SHARE)
    place = url.removeprefix("memory:/")
    memory.rm_file(f"{place}/about.json")
    memory.pipe_file(f"{place}/rows.npz", b"half")
    calls.clear()
    offer(folder, SHARE)
    assert calls == ["put_file"] * 2
    assert memory.cat_file(f"{place}/rows.npz") == (folder / "rows.npz").read_bytes()


def test_a_damaged_copy_is_not_kept(folder: Path, memory: Any, tmp_path: Path) -> None:
    url = offer(folder, SHARE)
    place = f"{url.removeprefix('memory:/')}/images.npy"
    data = bytearray(memory.cat_file(place))
    data[-5] ^= 1
    memory.pipe_file(place, bytes(data))
    with pytest.raises(DataError, match=r"FACTORGRID_SHARE memory://.*damaged.*delete it there"):
        bring(url, _own(tmp_path))
    assert list(_own(tmp_path).cache.iterdir()) == []


def test_what_a_killed_worker_left_goes(folder: Path, memory: Any, tmp_path: Path) -> None:
    left = _own(tmp_path).cache / ".partial-brought-of-a-killed-one"
    left.mkdir(parents=True)
    (left / "images.npy").write_bytes(b"half")
    bring(offer(folder, SHARE), _own(tmp_path))
    assert not left.exists()


def test_a_store_that_is_not_there_is_one_line(folder: Path) -> None:
    with pytest.raises(DataError, match=r"FACTORGRID_SHARE nosuch://bucket/.*Protocol not known"):
        offer(folder, "nosuch://bucket")


def test_a_folder_by_its_path_is_a_share_as_well(folder: Path, tmp_path: Path) -> None:
    brought = bring(offer(folder, str(tmp_path / "share")), _own(tmp_path))
    assert np.array_equal(open_arrays(brought).images, open_arrays(folder).images)


def test_a_share_that_is_none_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for given, words in {
        "shared": "absolute path",
        "ftp://me:secret@h/x": "password",
    }.items():
        monkeypatch.setenv("FACTORGRID_SHARE", given)
        with pytest.raises(SettingError, match=words):
            read_settings()
    monkeypatch.setenv("FACTORGRID_SHARE", "s3://bucket/share/")
    assert read_settings().share == "s3://bucket/share"


# -- a worker that sees nothing of the sender's -------------------------------------------------


def _site(done: Done, arrays: str = "") -> Site:
    """Describe the study as one whose home this machine does not see."""
    execution = done.execution
    hidden = Path("/nowhere/home")
    settings = replace(execution.tracker.settings, home=hidden)
    images = Prepared(hidden / "cache" / "v-16", execution.version, "drawn", "drawn", 240, 0, 0)
    return Site(
        settings,
        execution.study,
        execution.version,
        execution.facts,
        execution.experiment,
        execution.run_id,
        images,
        arrays,
    )


def test_a_worker_without_a_way_to_the_arrays_is_one_line(done: Done) -> None:
    words = f"{platform.node()} does not see it; put FACTORGRID_HOME on a path .* FACTORGRID_SHARE"
    with pytest.raises(DataError, match=words):
        _site(done).open()


def test_a_worker_without_a_way_to_mlflow_is_one_line(done: Done) -> None:
    with pytest.raises(TrackingError, match=r"does not see this file; start a server"):
        _site(done, "memory://bucket/v-16-0").open()


def test_a_worker_without_the_studys_own_network_is_one_line(done: Done, tmp_path: Path) -> None:
    site = _site(done)
    model = site.study.model.model_copy(
        update={"builder": "mine:build", "builder_folder": tmp_path, "builder_source": "0" * 16}
    )
    site = replace(site, study=site.study.model_copy(update={"model": model}))
    with pytest.raises(
        StudyError, match=rf"on {platform.node()}: model.builder mine:build: no mine"
    ):
        site.open()
    (tmp_path / "mine.py").write_text("def build(**settings): ...")
    with pytest.raises(StudyError, match=r"is not the study's; copy the study's there"):
        site.open()
