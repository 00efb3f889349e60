"""Secrets in texts and addresses."""

import os
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.credentials import (
    move_password_to_environment,
    move_prefect_password_to_environment,
    move_signature_to_environment,
    with_signature,
)
from tasks.errors import SettingError, StudyError
from tasks.redaction import DATA_QUERY, has_secret, redact, without_password
from tasks.study.study_file import load_study, parse_study

#: An address -> the same as it is shown.
ADDRESSES = {
    "https://me:secret@host/x": "https://me:***@host/x",
    "https://t0ken@host/x": "https://***@host/x",
    "postgresql://me:a@b@host/db": "postgresql://me:***@host/db",
    "abfs://container@account.dfs.core.windows.net/x": (
        "abfs://container@account.dfs.core.windows.net/x"
    ),
    "https://host/x.zip?sv=2024&sig=a%2Fb%3D&se=1": "https://host/x.zip?sv=2024&sig=***&se=1",
    "https://host/x?X-Amz-Signature=ab&X-Amz-Date=1": "https://host/x?X-Amz-Signature=***&X-Amz-Date=1",
    "https://host/x?id=5": "https://host/x?id=5",
    "postgresql://host/db?user=me&password=p": "postgresql://host/db?user=me&password=***",
    "http://[::1": "http://[::1",
    "http://me:secret@[::1": "http://***@[::1",
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_shown_without_its_secrets(address: str) -> None:
    assert without_password(address) == ADDRESSES[address]
    assert has_secret(address) == (address != ADDRESSES[address])
    assert redact(f"cannot read '{address}': refused") == (
        f"cannot read '{ADDRESSES[address]}': refused"
    )


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("MLFLOW_TRACKING_TOKEN", "abcdefgh-1", "Bearer abcdefgh-1 refused"),
        ("PREFECT_API_AUTH_STRING", "admin:abcdefgh-1", "the password abcdefgh-1"),
        ("AWS_SECRET_ACCESS_KEY", "ab/cdefgh-1", f"key={quote('ab/cdefgh-1', safe='')}"),
        (DATA_QUERY, "sv=1&sig=abcdefgh%2D1", "GET /x?sig=abcdefgh-1"),
    ],
)
def test_secrets_of_the_environment_are_hidden(
    name: str, value: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert "***" in redact(text)
    assert "cdefgh" not in redact(text)


def test_short_values_of_the_environment_stay_in_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "1")
    assert redact("1 of 10 replicates") == "1 of 10 replicates"


@given(st.text(st.characters(blacklist_categories=["Cs"])))
def test_any_text_can_be_redacted_twice(text: str) -> None:
    assert redact(redact(text)) == redact(text)
    if "://" not in text:
        assert redact(text) == text


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8))
def test_no_password_of_an_address_is_left(password: str) -> None:
    address = f"https://user:{quote(password, safe='')}@host/path"
    assert redact(f"failed for {address}") == "failed for https://user:***@host/path"


def test_a_signature_is_kept_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATA_QUERY, "sig=old")
    address = "https://host/pets.zip?version=3&sv=2&sig=a%2Fb"
    clean = move_signature_to_environment(address)
    assert clean == "https://host/pets.zip?version=3&sv=2"
    assert with_signature(clean) == "https://host/pets.zip?version=3&sv=2&sig=a%2Fb"
    assert with_signature("s3://bucket/pets.zip") == "s3://bucket/pets.zip"
    monkeypatch.delenv(DATA_QUERY)
    assert with_signature(clean) == clean


def test_a_study_keeps_the_address_without_its_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATA_QUERY, "")
    study = load_study("dogs-vs-cats", source="https:/host/pets.zip?sig=abcdef")
    assert str(study.data.source) == "https:/host/pets.zip"
    assert with_signature("https://host/pets.zip").endswith("?sig=abcdef")


@pytest.mark.parametrize(
    "source", ["https://t0ken@host/x.zip", "https://host/x.zip?sig=abc", "s3://b/x?token=abc"]
)
def test_a_study_with_a_secret_in_its_address_is_refused(source: str) -> None:
    content = load_study("quick").model_dump(mode="json", exclude_defaults=True)
    content["data"] = {"source": source}
    with pytest.raises(StudyError, match="has a password, token or signature") as error:
        parse_study(content, "study.toml")
    assert "t0ken" not in str(error.value)
    assert "abc" not in str(error.value)


def test_passwords_of_servers_are_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "MLFLOW_TRACKING_USERNAME",
        "MLFLOW_TRACKING_PASSWORD",
        "PGPASSWORD",
        "PREFECT_API_AUTH_STRING",
    ):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    assert move_password_to_environment("http://me:s%40@host:5000/x") == "http://host:5000/x"
    assert (
        move_password_to_environment("postgresql://me:other@host/db") == "postgresql://me@host/db"
    )
    assert move_password_to_environment("sqlite:////tmp/mlflow.db") == "sqlite:////tmp/mlflow.db"
    assert move_prefect_password_to_environment("http://me:p%40@host/api") == "http://host/api"
    assert move_prefect_password_to_environment("http://host/api") == "http://host/api"
    assert os.environ["MLFLOW_TRACKING_USERNAME"] == "me"
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "s@"  # noqa: S105 # of nobody
    assert os.environ["PGPASSWORD"] == "other"
    assert os.environ["PREFECT_API_AUTH_STRING"] == "me:p@"


def test_a_token_in_the_address_of_mlflow_is_refused() -> None:
    with pytest.raises(SettingError, match=r"\*\*\*@host.*set MLFLOW_TRACKING_TOKEN") as error:
        move_password_to_environment("https://t0ken@host/mlflow")
    assert "t0ken" not in str(error.value)
