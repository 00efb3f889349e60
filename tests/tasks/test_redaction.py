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
from tasks.escaping import map_texts
from tasks.redaction import (
    SIGNED_URLS,
    has_secret,
    redact,
    without_password,
)
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
    "http://me:secret@[::1": "http://me:***@[::1",
    "http://[::1]:5000/x@y": "http://[::1]:5000/x@y",
    "http://host:8080/x@2.zip": "http://host:8080/x@2.zip",
    "http://me:1234@host": "http://me:***@host",
    "postgresql://me:s#e/c?r'e<t>|@host/db": "postgresql://me:***@host/db",
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
        (SIGNED_URLS, "https://h/x?sv=1&sig=abcdefgh%2D1", "signed abcdefgh-1 is refused"),
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


SIGNED = {
    "azure": "?version=3&sv=2022&st={0}&se={0}&sr=b&sp=r&sig=a{0}%2Fb",
    "amazon": "?version=3&X-Amz-Date={0}&X-Amz-Credential=c{0}&X-Amz-Signature={0}",
    "cloudfront": "?version=3&Expires={0}&Signature={0}&Key-Pair-Id=K",
}


@pytest.mark.parametrize("store", SIGNED)
def test_a_new_signature_does_not_change_an_address(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SIGNED_URLS, "https://host/other.zip?sig=x")
    clean = "https://host/pets.zip?version=3"
    for time in ("1", "2"):
        signed = f"https://host/pets.zip{SIGNED[store].format(time)}"
        assert move_signature_to_environment(signed) == clean
        assert with_signature(clean) == signed
    assert with_signature("https://host/other.zip") == "https://host/other.zip?sig=x"
    for other in ("https://evil.example/pets.zip?version=3", "s3://host/pets.zip", clean + "4"):
        assert with_signature(other) == other
    monkeypatch.delenv(SIGNED_URLS)
    assert with_signature(clean) == clean


def test_a_query_without_a_signature_is_part_of_the_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(SIGNED_URLS, raising=False)
    for address in ("https://h/d?key=cats&st=2", "https:/h/d", "/data/a?sig=b.zip"):
        assert move_signature_to_environment(address) == address
    assert SIGNED_URLS not in os.environ


def test_a_study_keeps_the_address_without_its_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SIGNED_URLS, "")
    study = load_study("dogs-vs-cats", source="https:/host/pets.zip?sig=abcdef")
    assert str(study.data.source) == "https:/host/pets.zip"
    assert with_signature("https://host/pets.zip") == "https://host/pets.zip?sig=abcdef"


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
    assert (
        move_password_to_environment("postgresql+psycopg://me:s#e/c@host/db")
        == "postgresql+psycopg://me@host/db"
    )
    assert os.environ["PGPASSWORD"] == "s#e/c"
    assert move_password_to_environment("postgresql://me:other@host/db").endswith("me@host/db")
    with_port = "postgresql://host:5432/db?options=a@b"
    assert move_password_to_environment(with_port) == with_port
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


def test_common_words_and_numbers_stay_in_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "factorgrid")
    assert redact("run `factorgrid search` in /home/u/.factorgrid") == (
        "run `factorgrid search` in /home/u/.factorgrid"
    )


def test_every_text_in_json_is_redacted() -> None:
    content = {"a": ["https://t0ken@host/x", 1, None], "b": {"c": "https://h/x?sig=abc"}}
    assert map_texts(content, redact) == {
        "a": ["https://***@host/x", 1, None],
        "b": {"c": "https://h/x?sig=***"},
    }
