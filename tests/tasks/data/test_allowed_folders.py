"""What the parameters of a deployment may name."""

from pathlib import Path
from typing import Any

import pytest
from support.picture_files import write_class_folders

from flows.validate_images import validate_images
from tasks.data.allowed_folders import (
    FILE,
    allowed_places,
    check_allowed,
    record_places,
    recorded_places,
)
from tasks.environment import prepare_environment
from tasks.errors import DataError
from tasks.session import open_session
from tasks.study.study_file import Study, parse_study


def refused(place: str, allowed: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the message with which a place is refused; empty if it is allowed."""
    monkeypatch.setenv("FACTORGRID_FOLDERS", allowed)
    try:
        check_allowed({"data.source": Path(place), "data.rules": None})
    except DataError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("place", "allowed"),
    [
        ("/srv/pictures/a.zip", "/srv/pictures"),
        ("/srv/pictures", "/srv/pictures/"),
        ("/srv/x/../pictures/a.zip", "/other:/srv/pictures"),
        ("s3://bucket/folder/a.zip", "/srv:s3://bucket/folder"),
        ("s3://bucket/folder", "s3://bucket/folder/:/srv"),
        ("https://minio.local:9000/pets/a.zip", "/srv:https://minio.local:9000/pets:/x"),
        ("/srv/a.zip", "https://minio.local:9000:/srv"),
        ("https://[::1]:9000/pets", "https://[::1]:9000"),
    ],
)
def test_allowed_places_and_what_is_in_them_may_be_used(
    place: str, allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not refused(place, allowed, monkeypatch)


@pytest.mark.parametrize(
    ("place", "allowed"),
    [
        ("/srv/pictures/a.zip", ""),
        ("/srv/pictures-of-others", "/srv/pictures"),
        ("/srv/pictures/../secret", "/srv/pictures"),
        ("/srv", "/srv/pictures"),
        ("relative.zip", "/srv"),
        ("s3://bucket/folder/a.zip", "/srv"),
        ("s3://bucket/folder2", "s3://bucket/folder"),
        ("s3://bucket/folder/../other", "s3://bucket/folder"),
        ("s3://bucket/folder::file:///etc", "s3://bucket"),
        ("https://h/a/%2e%2e/secret.zip", "https://h/a"),
        ("https://h/a/%252E%252e/secret.zip", "https://h/a"),
        ("https://h/a/..%5csecret.zip", "https://h/a"),
        ("https://minio.local/secret.zip", "https://minio.local:9000/pets"),
        ("9000/pets/a.zip", "https://minio.local:9000/pets"),
        ("file:///srv/pictures", "/srv/pictures"),
        ("http://169.254.169.254/x", "/:s3://bucket"),
    ],
)
def test_other_places_are_refused(
    place: str, allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = refused(place, allowed, monkeypatch)
    assert message.startswith("data.source ")
    assert "a deployment may use only the folders and addresses in FACTORGRID_FOLDERS (" in message
    assert len(message.splitlines()) == 1


def test_a_link_that_leads_out_of_an_allowed_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "allowed").mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "allowed" / "link").symlink_to(tmp_path / "secret")
    assert refused(str(tmp_path / "allowed" / "link"), str(tmp_path / "allowed"), monkeypatch)


def test_relative_folders_are_of_the_folder_where_the_operator_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FACTORGRID_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FACTORGRID_FOLDERS", "pictures:s3://bucket/a")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    prepare_environment()
    import os

    monkeypatch.chdir("/")
    assert allowed_places(os.environ["FACTORGRID_FOLDERS"]) == [
        str(tmp_path / "pictures"),
        "s3://bucket/a",
    ]


@pytest.fixture
def deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make this process one that runs a deployment."""
    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", "5")
    monkeypatch.setenv("FACTORGRID_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    monkeypatch.delenv("FACTORGRID_FOLDERS", raising=False)
    return tmp_path


def study_of(**data: Any) -> Study:
    factors = {"epochs": {"low": 1, "high": 2}}
    return parse_study({"name": "a", "data": data, "factors": factors}, "a.toml")


@pytest.mark.parametrize("name", ["source", "rules"])
def test_a_deployed_study_names_only_allowed_places(deployed: Path, name: str) -> None:
    study = study_of(**{name: str(deployed / "x")})
    with (
        pytest.raises(DataError, match=rf"data\.{name} .*: a deployment may use only"),
        open_session(study),
    ):
        pass


def test_a_deployed_study_writes_only_to_allowed_folders(deployed: Path) -> None:
    with (
        pytest.raises(DataError, match=r"^elsewhere .*: a deployment may use only"),
        open_session(study_of(drawn=100), deployed / "trip"),
    ):
        pass
    assert not (deployed / "trip").exists()


@pytest.mark.parametrize("name", ["source", "rules"])
def test_a_deployed_validation_names_only_allowed_places(
    deployed: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_class_folders(deployed / "pictures", 4, 4)
    monkeypatch.setenv("FACTORGRID_FOLDERS", str(deployed / "pictures"))
    places: dict[str, Any] = {
        "source": deployed / "pictures",
        "rules": deployed / "pictures" / "r.toml",
    }
    places[name] = deployed / "elsewhere"
    with pytest.raises(DataError, match=rf"^{name} .*: a deployment may use only"):
        validate_images.fn(**places)


def test_what_was_deployed_in_a_home_may_be_used_there(deployed: Path) -> None:
    home = deployed / "home"
    home.mkdir()
    pets = deployed / "pets.zip"
    assert record_places(home, [pets, Path("s3:/bucket/a.zip")]) == [str(pets), "s3://bucket/a.zip"]
    record_places(home, [pets])
    assert recorded_places(home) == [str(pets), "s3://bucket/a.zip"]
    assert (home / FILE).stat().st_mode & 0o777 == 0o600
    check_allowed({"source": pets, "rules": Path("s3:/bucket/a.zip")})
    with pytest.raises(DataError, match="a deployment may use only"):
        check_allowed({"source": deployed})


@pytest.mark.parametrize("content", ["", "null", "{}", "[1]", '["a"', None])
def test_a_damaged_list_of_places_is_one_line(deployed: Path, content: str | None) -> None:
    home = deployed / "home"
    home.mkdir()
    if content is None:
        (home / FILE).mkdir()
    else:
        (home / FILE).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=r"is not a list of places; remove it"):
        check_allowed({"source": deployed})
