"""Credentials in addresses: moved to the environment variables that the libraries read.

From then on the addresses can be shown, logged and stored.
"""

import os
import re
from urllib.parse import unquote, urlsplit, urlunsplit

from tasks.errors import SettingError
from tasks.redaction import DATA_QUERY, has_secret, is_secret_parameter, without_password

#: In a `Path` only one of the two slashes of an address is left.
_HTTP = re.compile(r"https?:/")


def move_password_to_environment(url: str) -> str:
    """Return MLflow's address without its password, and set the password in the environment.

    MLflow's client and PostgreSQL's library read it from there, and nothing prints it. An address
    without a password is returned unchanged.

    Raises
    ------
    SettingError
        If the address has a token, which MLflow's client does not send from there.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    if parts.scheme.startswith("http") and has_secret(url) and not parts.password:
        raise SettingError(
            f"MLFLOW_TRACKING_URI {without_password(url)}: has a token in the address, which "
            "MLflow does not send; leave it out and set MLFLOW_TRACKING_TOKEN to it"
        )
    if parts.password is None:
        return url
    user, password = unquote(parts.username or ""), unquote(parts.password)
    host = parts.netloc.rpartition("@")[2]
    if parts.scheme.startswith("http"):
        os.environ["MLFLOW_TRACKING_USERNAME"] = user
        os.environ["MLFLOW_TRACKING_PASSWORD"] = password
        return urlunsplit(parts._replace(netloc=host))
    if parts.scheme.startswith("postgres"):
        os.environ["PGPASSWORD"] = password
        return urlunsplit(parts._replace(netloc=f"{parts.username}@{host}"))
    return url


def move_prefect_password_to_environment(url: str) -> str:
    """Return the address of Prefect's API without its password, which Prefect reads elsewhere.

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
    """Return an address of pictures without the parameters that give access.

    They are kept in ``FACTORGRID_DATA_QUERY`` of this process and its children, from which
    `with_signature` reads them; so MLflow, Prefect and the home only see the address without them,
    and a new signature for the same pictures does not make them other pictures.
    """
    before, mark, query = address.partition("?")
    if not mark or not _HTTP.match(address):
        return address
    parameters = query.split("&")
    secret = [p for p in parameters if is_secret_parameter(p.partition("=")[0])]
    if not secret:
        return address
    os.environ[DATA_QUERY] = "&".join(secret)
    rest = "&".join(p for p in parameters if p not in secret)
    return f"{before}?{rest}" if rest else before


def with_signature(url: str) -> str:
    """Return the address of pictures with the parameters of ``FACTORGRID_DATA_QUERY``."""
    query = os.environ.get(DATA_QUERY, "").lstrip("?")
    if not query or not _HTTP.match(url):
        return url
    return f"{url}{'&' if '?' in url else '?'}{query}"
