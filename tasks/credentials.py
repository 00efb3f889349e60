"""Credentials in addresses: moved to the environment variables that the libraries read.

From then on the addresses can be shown, logged and stored.
"""

import os
import re
from urllib.parse import unquote, urlsplit, urlunsplit

from tasks.errors import SettingError
from tasks.redaction import (
    SIGNED_URLS,
    has_secret,
    is_secret_parameter,
    split_password,
    without_password,
)

#: In a `Path` only one of the two slashes of an address is left.
_HTTP = re.compile(r"https?:/+")
#: What belongs to a signature but gives no access: of Azure, Amazon and Google, and CloudFront.
_OF_SIGNATURE = re.compile(
    r"(x-amz-|x-goog-).*|s[vspre]|st|srt|spr|sip|sdd|sk(oid|tid|t|e|s|v)|expires|policy",
    re.IGNORECASE,
)


def move_password_to_environment(url: str) -> str:
    """Return MLflow's address without its password, and set the password in the environment.

    MLflow's client and PostgreSQL's library read it from there, and nothing prints it. An address
    without a password is returned unchanged.

    Raises
    ------
    SettingError
        If the address has a token, which MLflow's client does not send from there.
    """
    if url.startswith("postgres"):
        return _move_database_password(url)
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    if not parts.scheme.startswith("http"):
        return url
    if has_secret(url) and not parts.password:
        raise SettingError(
            f"MLFLOW_TRACKING_URI {without_password(url)}: has a token in the address, which "
            "MLflow does not send; leave it out and set MLFLOW_TRACKING_TOKEN to it (write /, "
            "? and # in a password as %2F, %3F and %23)"
        )
    if parts.password is None:
        return url
    os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(parts.username or "")
    os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(parts.password)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _move_database_password(url: str) -> str:
    parts = split_password(url)
    if parts is None:
        return url
    user, password, rest = parts
    os.environ["PGPASSWORD"] = unquote(password)
    return f"{user}@{rest}"


def move_prefect_password_to_environment(url: str) -> str:
    """Return the address of Prefect's API without its password, and set it in the environment.

    The variable is ``PREFECT_API_AUTH_STRING``; if it is set, the address's password is dropped.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    if parts.username is None and parts.password is None:
        return url
    credentials = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    os.environ.setdefault("PREFECT_API_AUTH_STRING", credentials)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def move_signature_to_environment(address: str) -> str:
    """Return an address of pictures without the parameters of its signature.

    The signed address is kept in ``FACTORGRID_SIGNED_URLS`` of this process and its children, where
    `with_signature` finds it. MLflow, Prefect and the home only see the address without signature,
    so a new signature for the same pictures does not make them other pictures.
    """
    clean = _without_signature(address)
    if clean == address:
        return address
    others = [url for url in _signed_urls() if _without_signature(url) != _http_url(clean)]
    os.environ[SIGNED_URLS] = " ".join([*others, _http_url(address)])
    return clean


def with_signature(url: str) -> str:
    """Return the signed address of pictures, if ``FACTORGRID_SIGNED_URLS`` has it."""
    if not _HTTP.match(url):
        return url
    signed = (known for known in _signed_urls() if _without_signature(known) == url)
    return next(signed, url)


def _signed_urls() -> list[str]:
    return os.environ.get(SIGNED_URLS, "").split()


def _http_url(address: str) -> str:
    return _HTTP.sub(lambda found: f"{found[0].rstrip('/')}//", address, count=1)


def _without_signature(address: str) -> str:
    before, mark, query = address.partition("?")
    parameters = {part: part.partition("=")[0] for part in query.split("&")}
    if not (mark and _HTTP.match(address) and any(map(is_secret_parameter, parameters.values()))):
        return address
    rest = [
        part
        for part, name in parameters.items()
        if not is_secret_parameter(name) and not _OF_SIGNATURE.fullmatch(unquote(name))
    ]
    return f"{before}?{'&'.join(rest)}" if rest else before
