"""What is shown, logged or stored has no password, token or signature.

Each place at which text leaves a process calls `redact`: the terminal, the log, MLflow and Prefect.
`tasks.credentials` takes the secrets out of addresses before these are used.
"""

import os
import re
from urllib.parse import quote, unquote

#: What is shown instead of a secret.
HIDDEN = "***"
#: Parameters of a query that give access: of Azure, Amazon, Google, and what servers call a token.
#: In lower case; compared without regard to case, as servers do.
SECRET_PARAMETERS = frozenset(
    {
        "access_key",
        "access_token",
        "api_key",
        "apikey",
        "awsaccesskeyid",
        "client_secret",
        "googleaccessid",
        "key-pair-id",
        "passwd",
        "password",
        "pwd",
        "secret",
        "sig",
        "signature",
        "sslpassword",
        "token",
        "x-amz-credential",
        "x-amz-security-token",
        "x-amz-signature",
        "x-goog-credential",
        "x-goog-signature",
    }
)
#: The variable with signed addresses of pictures; see `tasks.credentials`.
SIGNED_URLS = "FACTORGRID_SIGNED_URLS"
#: Environment variables whose values are secrets, by how their names end.
SECRET_VARIABLES = (
    *("TOKEN", "PASSWORD", "PASSWD", "SECRET", "AUTH_STRING"),
    *("SECRET_KEY", "API_KEY", "ACCESS_KEY", "ACCOUNT_KEY"),
)
#: Shorter values are not searched for in texts, nor are these: they occur in texts by chance.
SHORTEST_SECRET = 8
COMMON_WORDS = frozenset({"factorgrid", "password", "postgres", "postgresql", "training"})

# As SQLAlchemy reads it: the password goes up to the last @ and may contain /, ? and #.
_PASSWORD = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*://[^:/@?#\[\s]*):(\S*)@")
_PORT_AND_PATH = re.compile(r"\d+[/?#]")
_TOKEN = re.compile(r"(https?://)[^:/@?#\[\s]+@")
_PARAMETER = re.compile(r"([?&;])([^=&;?#\s]+)=([^&;#\s\"'<>]*)")


def without_password(text: str) -> str:
    """Return an address, or a text with addresses, with their secrets replaced by ``***``.

    These are passwords, a token that stands alone before the host of an HTTP address, and the
    values of `SECRET_PARAMETERS`.
    """
    if "://" in text:
        text = _TOKEN.sub(rf"\1{HIDDEN}@", _PASSWORD.sub(_hide_password, text))
    return _PARAMETER.sub(_hide_parameter, text) if "=" in text else text


def split_password(address: str) -> tuple[str, str, str] | None:
    """Return an address up to its user, its password, and the rest; None if it has no password."""
    found = _PASSWORD.match(address)
    if found is None or _is_port(found):
        return None
    return found[1], found[2], address[found.end() :]


def _is_port(found: re.Match[str]) -> bool:
    """Whether what stands before the @ is a port: http://host:8080/@x has an @ in its path."""
    return bool(_PORT_AND_PATH.match(found[2]))


def _hide_password(found: re.Match[str]) -> str:
    return found[0] if _is_port(found) else f"{found[1]}:{HIDDEN}@"


def _hide_parameter(found: re.Match[str]) -> str:
    before, name, value = found.groups()
    return f"{before}{name}={HIDDEN if is_secret_parameter(name) else value}"


def is_secret_parameter(name: str) -> bool:
    """Whether a parameter of a query gives access."""
    return unquote(name).lower() in SECRET_PARAMETERS


def has_secret(address: str) -> bool:
    """Whether an address has a password, a token or a signature."""
    return without_password(address) != address


def redact(text: str) -> str:
    """Return a text without secrets.

    Addresses in it lose theirs, see `without_password`, and the values of this process's secret
    environment variables are replaced by ``***``.
    """
    text = without_password(text)
    for secret in _environment_secrets():
        if secret in text:
            text = text.replace(secret, HIDDEN)
    return text


def _environment_secrets() -> list[str]:
    """Return the secrets in the environment and their spellings in addresses, longest first."""
    secrets = set()
    for name, value in os.environ.items():
        if name == SIGNED_URLS:
            queries = [url.partition("?")[2] for url in value.split()]
            pairs = [part.partition("=") for query in queries for part in query.split("&")]
            parts = {value for key, _, value in pairs if is_secret_parameter(key)}
        elif name.endswith(SECRET_VARIABLES):
            # An "auth string" is user:password.
            parts = {value, value.partition(":")[2] if name.endswith("AUTH_STRING") else ""}
        else:
            continue
        secrets |= parts | {quote(p, safe="") for p in parts} | {unquote(p) for p in parts}
    found = (s for s in secrets - COMMON_WORDS if len(s) >= SHORTEST_SECRET)
    return sorted(found, key=len, reverse=True)
