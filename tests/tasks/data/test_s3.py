"""Pictures in S3, over its real protocol: moto's server, read with the package that users have."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import s3fs
from support.image_files import archive, drawn
from support.s3_server import S3, s3_server
from support.small_study import factorgrid

from tasks.data.check_images import check_images
from tasks.data.find_images import find_images
from tasks.data.metadata_store import MetadataStore
from tasks.data.reason import reasons_as_text
from tasks.errors import DataError


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[S3]:
    with s3_server(tmp_path) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server
    # A cached file system would connect to this server's address in the next test.
    s3fs.S3FileSystem.clear_instance_cache()


TRAIN = "s3://bucket/train.zip"


def _refused(url: str, scratch: Path) -> str:
    with pytest.raises(DataError) as caught:
        find_images(Path(url), scratch)
    assert str(caught.value).startswith(f"pictures {url}: ")
    return str(caught.value)


def test_a_zip_in_a_bucket_is_validated_by_the_command(s3: S3, tmp_path: Path) -> None:
    def validate() -> "subprocess.CompletedProcess[str]":
        arguments = ("validate", "--data", TRAIN, "--json")
        return factorgrid(*arguments, home=tmp_path / "home", **s3.environment)

    s3.put("train.zip", archive(tmp_path / "a.zip", 64).read_bytes())
    ended = validate()
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["accepted"] == 64
    s3.stop()
    ended = validate()
    assert ended.returncode == 2
    (line,) = ended.stderr.strip().splitlines()
    assert line.startswith(f"factorgrid: pictures {TRAIN}: not available (")


def test_a_missing_object_or_missing_credentials_are_reported(s3: S3, tmp_path: Path) -> None:
    s3.put("train.zip", archive(tmp_path / "a.zip", 64).read_bytes())
    assert "no such object" in _refused("s3://bucket/none.zip", tmp_path)
    assert "no such object" in _refused("s3://none/train.zip", tmp_path)
    s3.ask_for_keys(asked=True)
    assert "its credentials in the environment" in _refused(TRAIN, tmp_path)


def test_an_object_that_is_replaced_is_copied_again_in_the_same_process(
    s3: S3, tmp_path: Path
) -> None:
    for number in (64, 70):
        s3.put("train.zip", archive(tmp_path / "a.zip", number).read_bytes())
        assert len(find_images(Path("s3://bucket/train.zip"), tmp_path / "x").entries) == number
    for name, data in drawn(64).items():
        s3.put(f"pets/{name}", data)
    for number in (64, 65):
        s3.put(f"pets/cat/{number}.png", drawn(64)["cat/0.png"][:-1])
        assert len(find_images(Path("s3://bucket/pets"), tmp_path / "x").entries) == number + 1


def test_a_folder_in_a_bucket_is_read_with_any_names_in_it(s3: S3, tmp_path: Path) -> None:
    pictures = drawn(66)
    data = pictures.popitem()[1]
    for name, content in pictures.items():
        s3.put(f"pets/{name}", content)
    hostile = [
        "../../evil.png",
        "cat//twice.png",
        "cat/%2e%2e/a b?versionId=1#[*].png",
        "cat/\u732b.png",
    ]
    for name in hostile:
        s3.put(f"pets/{name}", data)
    s3.put("pets/cat/", b"")  # a folder, as web consoles create one
    s3.put("pets/.hidden/a.png", data)
    s3.put("petshop/cat/1.png", data)
    before = set(tmp_path.rglob("*"))
    source = find_images(Path("s3://bucket/pets"), tmp_path / "x")
    made = set(tmp_path.rglob("*")) - before
    assert {path.parent.parent for path in made if path.is_file()} == {tmp_path / "x"}
    assert len(source.entries) == 65 + len(hostile)
    assert list(source.passed_over) == [".hidden/a.png"]
    checked = check_images(source, MetadataStore(tmp_path / "metadata.db", tmp_path / "locks"))
    counts = checked.counts
    assert counts["found"] == 70
    assert counts["found"] == sum(counts[k] for k in ("accepted", "quarantined", "passed_over"))
    assert "leads out of the folder" in reasons_as_text(checked.reasons["../../evil.png"])
    assert "does not provide it" in reasons_as_text(checked.reasons[hostile[2]])


def test_an_unavailable_server_is_reported_and_the_copies_stay(s3: S3, tmp_path: Path) -> None:
    for name, data in drawn(64).items():
        s3.put(name, data)
    assert len(find_images(Path("s3://bucket"), tmp_path / "x").entries) == 64
    s3.stop()
    with pytest.raises(DataError, match="pictures s3://bucket: not available"):
        find_images(Path("s3://bucket"), tmp_path / "x")
    (folder,) = (tmp_path / "x").iterdir()
    assert len(list(folder.iterdir())) == 64 + 2
