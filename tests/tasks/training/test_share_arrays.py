"""Arrays for machines that share no disk: uploaded to a store once, and downloaded once."""

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
from tasks.training.cluster import ExecutionDescription
from tasks.training.share_arrays import download_arrays, upload_arrays

SHARE = "memory://bucket/share"


@pytest.fixture
def memory() -> Iterator[Any]:
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write a cache of 200 images."""
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
    """Record the uploads to the store and the downloads from it."""
    recorded: list[str] = []
    for name in ("put_file", "get_file"):
        real = getattr(type(memory), name)

        def recording(
            self: Any, *given: Any, _name: str = name, _real: Any = real, **named: Any
        ) -> Any:
            recorded.append(_name)
            return _real(self, *given, **named)

        monkeypatch.setattr(type(memory), name, recording)
    return recorded


def _worker_settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path / "worker", "")


def test_a_cache_is_uploaded_once_and_downloaded_once(
    folder: Path, calls: list[str], tmp_path: Path
) -> None:
    settings = _worker_settings(tmp_path)
    url = upload_arrays(folder, SHARE)
    assert upload_arrays(folder, SHARE) == url
    with ThreadPoolExecutor(4) as pool:
        (downloaded,) = set(pool.map(lambda _: download_arrays(url, settings), range(8)))
    assert calls == ["put_file"] * 3 + ["get_file"] * 3
    assert downloaded == settings.cache / "v-8"
    assert [path.name for path in settings.cache.iterdir()] == ["v-8"]
    assert np.array_equal(open_arrays(downloaded).images, open_arrays(folder).images)


def test_an_interrupted_upload_is_completed(folder: Path, calls: list[str], memory: Any) -> None:
    url = upload_arrays(folder, SHARE)
    path = url.removeprefix("memory:/")
    memory.rm_file(f"{path}/about.json")
    memory.pipe_file(f"{path}/rows.npz", b"half")
    calls.clear()
    upload_arrays(folder, SHARE)
    assert calls == ["put_file"] * 2
    assert memory.cat_file(f"{path}/rows.npz") == (folder / "rows.npz").read_bytes()


def test_a_damaged_copy_is_not_kept(folder: Path, memory: Any, tmp_path: Path) -> None:
    url = upload_arrays(folder, SHARE)
    path = f"{url.removeprefix('memory:/')}/images.npy"
    data = bytearray(memory.cat_file(path))
    data[-5] ^= 1
    memory.pipe_file(path, bytes(data))
    with pytest.raises(
        DataError, match=r"FACTORGRID_SHARE memory://.*damaged.*delete it in the store"
    ):
        download_arrays(url, _worker_settings(tmp_path))
    assert list(_worker_settings(tmp_path).cache.iterdir()) == []


def test_the_incomplete_download_of_a_killed_worker_is_deleted(
    folder: Path, memory: Any, tmp_path: Path
) -> None:
    left = _worker_settings(tmp_path).cache / ".partial-download-of-a-killed-worker"
    left.mkdir(parents=True)
    (left / "images.npy").write_bytes(b"half")
    download_arrays(upload_arrays(folder, SHARE), _worker_settings(tmp_path))
    assert not left.exists()


def test_a_missing_store_is_a_one_line_error(folder: Path) -> None:
    with pytest.raises(DataError, match=r"FACTORGRID_SHARE nosuch://bucket/.*Protocol not known"):
        upload_arrays(folder, "nosuch://bucket")


def test_a_path_of_a_folder_can_be_the_share(folder: Path, tmp_path: Path) -> None:
    downloaded = download_arrays(
        upload_arrays(folder, str(tmp_path / "share")), _worker_settings(tmp_path)
    )
    assert np.array_equal(open_arrays(downloaded).images, open_arrays(folder).images)


def test_an_invalid_share_is_an_error_that_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, message in {
        "shared": "absolute path",
        "ftp://me:secret@h/x": "password",
    }.items():
        monkeypatch.setenv("FACTORGRID_SHARE", value)
        with pytest.raises(SettingError, match=message):
            read_settings()
    monkeypatch.setenv("FACTORGRID_SHARE", "s3://bucket/share/")
    assert read_settings().share == "s3://bucket/share"


# -- a worker that does not see the sender's home -----------------------------------------------


def _describe(done: Done, arrays_url: str = "") -> ExecutionDescription:
    """Describe the study as if its home were not visible on this machine."""
    execution = done.execution
    hidden = Path("/nowhere/home")
    settings = replace(execution.tracker.settings, home=hidden)
    images = Prepared(hidden / "cache" / "v-16", execution.version, "drawn", "drawn", 240, 0, 0)
    return ExecutionDescription(
        settings,
        execution.study,
        execution.version,
        execution.facts,
        execution.experiment,
        execution.run_id,
        images,
        arrays_url,
    )


def test_a_worker_without_access_to_the_arrays_is_a_one_line_error(done: Done) -> None:
    message = f"not visible on {platform.node()}; put FACTORGRID_HOME on a path .* FACTORGRID_SHARE"
    with pytest.raises(DataError, match=message):
        _describe(done).open()


def test_a_worker_without_access_to_mlflow_is_a_one_line_error(done: Done) -> None:
    with pytest.raises(TrackingError, match=r"this file is not visible on .*; start a server"):
        _describe(done, "memory://bucket/v-16-0").open()


def test_a_worker_without_the_studys_own_network_is_a_one_line_error(
    done: Done, tmp_path: Path
) -> None:
    description = _describe(done)
    model = description.study.model.model_copy(
        update={"builder": "mine:build", "builder_folder": tmp_path, "builder_source": "0" * 16}
    )
    description = replace(description, study=description.study.model_copy(update={"model": model}))
    with pytest.raises(
        StudyError, match=rf"on {platform.node()}: model.builder mine:build: no mine"
    ):
        description.open()
    (tmp_path / "mine.py").write_text("def build(**settings): ...")
    with pytest.raises(StudyError, match=r"differs from the study's; copy the study's file there"):
        description.open()
