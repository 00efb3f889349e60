"""What is shown, logged or stored has no password, token or signature.

Each place at which text leaves a process calls `redact`: the terminal, the log, MLflow and Prefect.
`tasks.credentials` takes the secrets out of addresses before these are used.
"""

import os
import re
from urllib.parse import quote, unquote, urlsplit, urlunsplit

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
        "auth",
        "awsaccesskeyid",
        "client_secret",
        "googleaccessid",
        "key",
        "pass",
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
#: The variable with the parameters of a signed address; see `tasks.credentials`.
DATA_QUERY = "FACTORGRID_DATA_QUERY"
#: Environment variables whose values are secrets, by how their names end.
SECRET_VARIABLE = re.compile(
    rf"(TOKEN|PASSWORD|PASSWD|SECRET|(SECRET|API|ACCESS|ACCOUNT)_KEY|AUTH_STRING|{DATA_QUERY})$"
)
#: Shorter values are not searched for in texts: they would be found by chance.
SHORTEST_SECRET = 8

_URL = re.compile(r"""[a-zA-Z][a-zA-Z0-9+.-]*://[^\s"'<>|]+""")
_PARAMETER = re.compile(r"([?&;]|^)([^=&;?#\s]+)=([^&;#\s]*)")


def without_password(url: str) -> str:
    """Return an address with its secrets replaced by ``***``.

    These are a password, a token that stands alone before the host of an HTTP address, and the
    values of `SECRET_PARAMETERS`.
    """
    try:
        parts = urlsplit(url)
    except ValueError:  # not a valid address, such as http://[::1
        return _hide_parameters(re.sub("//.*@", f"//{HIDDEN}@", url))
    netloc = parts.netloc
    if "@" in netloc:
        credentials, _, host = netloc.rpartition("@")
        user, separator, _ = credentials.partition(":")
        if separator:
            netloc = f"{user}:{HIDDEN}@{host}"
        elif parts.scheme in ("http", "https"):
            netloc = f"{HIDDEN}@{host}"
    if netloc != parts.netloc:
        url = urlunsplit(parts._replace(netloc=netloc))
    return _hide_parameters(url)


def _hide_parameters(url: str) -> str:
    def hide(found: re.Match[str]) -> str:
        before, name, value = found.groups()
        return f"{before}{name}={HIDDEN if is_secret_parameter(name) else value}"

    return _PARAMETER.sub(hide, url)


def is_secret_parameter(name: str) -> bool:
    """Whether a parameter of a query gives access."""
    return unquote(name).lower() in SECRET_PARAMETERS


def redact(text: str) -> str:
    """Return a text without secrets.

    Addresses in it lose theirs, see `without_password`, and the values of this process's secret
    environment variables are replaced by ``***``.
    """
    if "://" in text:
        text = _URL.sub(lambda found: without_password(found.group()), text)
    for secret in _environment_secrets():
        if secret in text:
            text = text.replace(secret, HIDDEN)
    return text


def _environment_secrets() -> list[str]:
    """Return the secrets in the environment and their spellings in addresses, longest first."""
    secrets = set()
    for name, value in os.environ.items():
        if SECRET_VARIABLE.search(name):
            # An "auth string" is user:password, and a query is name=value&name=value.
            parts = {value, value.partition(":")[2] if name.endswith("AUTH_STRING") else ""}
            if name == DATA_QUERY:
                parts |= {part.partition("=")[2] for part in value.split("&")}
            secrets |= parts | {quote(p, safe="") for p in parts} | {unquote(p) for p in parts}
    return sorted((s for s in secrets if len(s) >= SHORTEST_SECRET), key=len, reverse=True)


def has_secret(address: str) -> bool:
    """Whether an address has a password, a token or a signature."""
    return without_password(address) != address
