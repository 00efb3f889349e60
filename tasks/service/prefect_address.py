"""Whether ``PREFECT_API_URL`` is the address of a Prefect server, checked before Prefect uses it.

Prefect itself retries for minutes, and its errors do not say which address is wrong.
"""

import os
from urllib.parse import urlsplit

import httpx

from tasks.errors import OrchestratorError
from tasks.redaction import without_password
from tasks.service.work_pool import prefect_credentials

#: The longest time to an answer of a busy server, seconds.
ANSWER_SECONDS = 10
#: Variables by which Prefect's client accepts a certificate that the system does not.
OWN_CERTIFICATES = ("PREFECT_API_SSL_CERT_FILE", "PREFECT_API_TLS_INSECURE_SKIP_VERIFY")
#: Prefect's hosted server has another API and its own login.
HOSTED = ".prefect.cloud"
#: What `tasks.service.prefect_program` answers to a request under a name that is not its own.
INVALID_HOST = "Invalid host header"


def check_prefect_address(url: str) -> None:
    """Check that a Prefect server answers at an address.

    Parameters
    ----------
    url : the value of ``PREFECT_API_URL``.

    Raises
    ------
    OrchestratorError
        If it is not the address of a Prefect server's API, or the server does not answer.
    """
    shown = f"PREFECT_API_URL {without_password(url)}"
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address:
        raise OrchestratorError(f"{shown}: not an address; write it as http://host:4200/api")
    if str(parts.hostname).endswith(HOSTED) or _is_prefect(shown, url):
        return
    api = f"{parts.scheme}://{parts.netloc}/api"
    if url.rstrip("/") != api and _is_prefect(shown, api):
        raise OrchestratorError(f"{shown}: not the API of that server; set it to {api}")
    raise OrchestratorError(
        f"{shown}: what answers is not a Prefect server; correct it, or unset it, and a study "
        "starts its own server"
    )


def _is_prefect(shown: str, url: str) -> bool:
    """Ask for Prefect's version; the pages of its server answer with a page instead.

    Raises
    ------
    OrchestratorError
        If nothing answers, or the server refuses access or the name by which it was called.
    """
    is_local = urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")
    try:
        answer = httpx.get(
            f"{url.rstrip('/')}/admin/version",
            timeout=ANSWER_SECONDS,
            auth=prefect_credentials(),
            verify=not any(map(os.environ.get, OWN_CERTIFICATES)),
            trust_env=not is_local,
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise OrchestratorError(
            f"{shown}: no server answers ({str(error) or type(error).__name__}); start it, or "
            "correct the address (unset it, and a study starts its own server)"
        ) from error
    if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise OrchestratorError(
            f"{shown}: the server refuses access ({answer.status_code}); set "
            "PREFECT_API_AUTH_STRING to user:password"
        )
    if answer.status_code == httpx.codes.BAD_REQUEST and INVALID_HOST in answer.text:
        raise OrchestratorError(
            f"{shown}: the server does not accept the name {urlsplit(url).hostname}; start "
            "`factorgrid up` there with --allowed-hosts and this name, or use a name that it "
            "accepts"
        )
    try:
        return answer.is_success and isinstance(answer.json(), str)
    except ValueError:
        return False
