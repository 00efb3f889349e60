"""Addresses without their passwords: what is shown, logged or passed on has no password."""

import os
import re
from urllib.parse import unquote, urlsplit, urlunsplit


def without_password(url: str) -> str:
    """Return an address with its password, if it has one, replaced by ``***``."""
    try:
        parts = urlsplit(url)
    except ValueError:  # not a valid address, such as http://[::1
        return re.sub("//.*@", "//***@", url)
    if "@" not in parts.netloc:
        return url
    credentials, _, host = parts.netloc.rpartition("@")
    user, separator, _ = credentials.partition(":")
    return urlunsplit(parts._replace(netloc=f"{user}{':***' if separator else ''}@{host}"))


def move_password_to_environment(url: str) -> str:
    """Return MLflow's address without its password, and set the password in the environment.

    MLflow's client and PostgreSQL's library read it from there, and nothing prints it. An address
    without a password is returned unchanged.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
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
