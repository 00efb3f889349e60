"""Addresses without their passwords: what is shown, logged and handed on has none."""

import os
from urllib.parse import unquote, urlsplit, urlunsplit


def without_password(url: str) -> str:
    """Return an address with its password, where it has one, as three stars."""
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url
    user, _, host = parts.netloc.rpartition("@")
    name, separator, _ = user.partition(":")
    return urlunsplit(parts._replace(netloc=f"{name}{':***' if separator else ''}@{host}"))


def keep_password(url: str) -> str:
    """Return an address of MLflow's without its password, which goes into the environment.

    There MLflow's client and PostgreSQL's library look for it, and nobody prints it. An address
    without a password is returned as it is.
    """
    parts = urlsplit(url)
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
