"""`factorgrid doctor`: checks an installation and its servers; each fault has a remedy."""

import importlib.metadata
import os
import shlex
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import httpx
import psutil
from packaging.requirements import Requirement

from tasks.maintenance.disk_size import disk_size
from tasks.processes.own_folder import PREFIX, own_folder, temporary_parent
from tasks.processes.ports import is_free_port
from tasks.redaction import redact, without_password
from tasks.service.prefect_address import INVALID_HOST
from tasks.service.programs import MLFLOW_PORT, PREFECT_PORT
from tasks.service.running_service import running_service
from tasks.service.work_pool import POOL, Api, online_workers, prefect_credentials
from tasks.settings import Settings
from tasks.tracking.database_schema import read_schema
from tasks.tracking.local_database import is_missing, sqlite_file
from tasks.training.devices import query_gpus

GIGABYTE = 1e9
#: Free gigabytes below which a study may fail, and below which it does.
DISK, MEMORY = (5.0, 0.5), (2.0, 0.7)
REQUEST_SECONDS = 5
#: The most characters of another program's message that are shown.
MESSAGE_LENGTH = 200

Severity = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """What was checked, its state, and what to do if something is wrong."""

    name: str
    state: Severity
    found: str
    remedy: str = ""


Check = Callable[[Settings], Iterator[Finding]]


def examine(settings: Settings) -> list[Finding]:
    """Run all checks; nothing is changed, except for a file that is created and removed again."""
    checks: Sequence[Check] = [
        _python,
        _packages,
        _home,
        _memory,
        _devices,
        _ports,
        _mlflow,
        _prefect,
    ]
    return [finding for check in checks for finding in check(settings)]


def _python(_: Settings) -> Iterator[Finding]:
    yield Finding("Python", "ok", f"{sys.version.split()[0]} at {sys.prefix}")


def _packages(_: Settings) -> Iterator[Finding]:
    wrong = list(_out_of_bounds())
    yield from wrong
    if not wrong:
        names = ("mlflow", "prefect", "tensorflow")
        versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
        yield Finding("packages", "ok", f"within their bounds: {versions}")


def _out_of_bounds() -> Iterator[Finding]:
    for line in importlib.metadata.requires("factorgrid") or []:
        wanted = Requirement(line)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            version = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            version = ""
        if not version or not wanted.specifier.contains(version, prereleases=True):
            found = version or "is not installed"
            remedy = "run `make install`, which installs the locked versions"
            yield Finding(wanted.name, "fail", f"{found}, required {wanted.specifier}", remedy)


def _home(settings: Settings) -> Iterator[Finding]:
    home = settings.home
    existing = next(folder for folder in (home, *home.parents) if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
        state = "" if home.exists() else ", is created by the first study"
        if home.exists() and home.stat().st_mode & stat.S_IRWXO:
            remedy = f"it has passwords and pictures; run: chmod o-rwx {shlex.quote(str(home))}"
            yield Finding("home", "warn", f"{home}: every user of this machine can read it", remedy)
        else:
            yield Finding("home", "ok", f"{home}{state}")
    except OSError as error:
        remedy = "set FACTORGRID_HOME to a folder that you can write to"
        yield Finding("home", "fail", f"{existing}: {error.strerror}", remedy)
    yield Finding("temporary", "ok", _temporary_files(settings))
    free = shutil.disk_usage(existing).free / GIGABYTE
    remedy = (
        "run `factorgrid prune` or `factorgrid cache --clear`, or set FACTORGRID_HOME to a folder "
        "on another disk"
    )
    yield _amount_finding("disk", free, DISK, f"{free:,.1f} GB free at {existing}", remedy)


def _temporary_files(settings: Settings) -> str:
    """Return how much the living processes of this user hold; the rest was removed at the start."""
    parent, found = temporary_parent(), []
    mine = own_folder(parent) if parent else None
    for folder in filter(None, (parent, settings.work)):
        held = [own for own in folder.glob(f"{PREFIX}*") if own != mine]
        megabytes = sum(map(disk_size, held)) / 1e6
        found.append(f"{megabytes:,.1f} MB of {len(held)} running processes in {folder}")
    return "; ".join(found)


def _amount_finding(
    name: str, value: float, limits: tuple[float, float], found: str, remedy: str
) -> Finding:
    warn_below, fail_below = limits
    state: Severity = "ok" if value >= warn_below else "warn" if value >= fail_below else "fail"
    return Finding(name, state, found, "" if state == "ok" else remedy)


def _memory(_: Settings) -> Iterator[Finding]:
    free = psutil.virtual_memory().available / GIGABYTE
    remedy = "end other programs: TensorFlow and a study need 2 GB"
    yield _amount_finding("memory", free, MEMORY, f"{free:,.1f} GB available", remedy)


def _devices(_: Settings) -> Iterator[Finding]:
    gpus = query_gpus()
    if gpus.fault:
        remedy = "correct the driver's installation; until then the CPU trains"
        yield Finding("devices", "warn", f"nvidia-smi: {gpus.fault[:MESSAGE_LENGTH]}", remedy)
    elif gpus.names:
        found = "; ".join(f"GPU {index}: {name}" for index, name in enumerate(gpus.names))
        yield Finding("devices", "ok", found)
    else:
        yield Finding("devices", "ok", f"no GPU; {len(os.sched_getaffinity(0))} CPU cores train")


def _ports(settings: Settings) -> Iterator[Finding]:
    if running_service(settings.home):
        return
    for name, port in (("MLflow", MLFLOW_PORT), ("Prefect", PREFECT_PORT)):
        if is_free_port("127.0.0.1", port):
            yield Finding("port", "ok", f"{port} is free for {name}")
        else:
            remedy = f"`factorgrid up` uses the next free one; --{name.lower()}-port chooses one"
            yield Finding("port", "warn", f"{port}, the default of {name}, is in use", remedy)


def _mlflow(settings: Settings) -> Iterator[Finding]:
    uri = settings.tracking_uri
    if uri.startswith("http"):
        yield _server("MLflow", uri, f"{uri}/version", "mlflow", _mlflow_credentials())
        return
    file = sqlite_file(uri)
    if file is not None and is_missing(uri):
        begun = "its creation was interrupted; the next study makes it again"
        found = begun if file.exists() else "is created by the first study"
        yield Finding("database", "ok", f"{file}, {found}")
        return
    yield _database(uri)


def _database(uri: str) -> Finding:
    address = without_password(uri)
    try:
        schema = read_schema(uri)
    except Exception as error:  # noqa: BLE001 # whatever a driver raises is reported
        message = " ".join(str(error).split())[:MESSAGE_LENGTH]
        remedy = "start it, or correct MLFLOW_TRACKING_URI"
        return Finding("database", "fail", f"{address}: {message}", remedy)
    if schema.fault:
        return Finding("database", "fail", f"{address}: {schema.fault}", schema.remedy)
    if not schema.revision:
        return Finding("database", "ok", f"{address}, empty: the first study creates its tables")
    return Finding("database", "ok", f"{address}, schema {schema.revision}")


def _prefect(_: Settings) -> Iterator[Finding]:
    url = os.environ.get("PREFECT_API_URL")
    if not url:
        found = "no server; each study starts its own (`factorgrid up` starts one that stays)"
        yield Finding("Prefect", "ok", found)
        return
    server = _server("Prefect", url, f"{url}/admin/version", "prefect", prefect_credentials())
    yield server
    if server.state != "fail":
        yield _workers(url)


def _workers(url: str) -> Finding:
    names = online_workers(Api(url))
    if names:
        return Finding("worker", "ok", f"{', '.join(names)} in the work pool {POOL}")
    remedy = f"run `factorgrid up`, or `prefect worker start --pool {POOL} --type process`"
    found = f"none in the work pool {POOL}: deployed flows do not run"
    return Finding("worker", "warn", found, remedy)


def _mlflow_credentials() -> tuple[str, str] | None:
    user = os.environ.get("MLFLOW_TRACKING_USERNAME")
    return (user, os.environ.get("MLFLOW_TRACKING_PASSWORD", "")) if user else None


def _server(
    name: str, uri: str, url: str, package: str, credentials: tuple[str, str] | None
) -> Finding:
    """Ask a server for its version, which should be that of the installed package."""
    variable = {"mlflow": "MLFLOW_TRACKING_URI", "prefect": "PREFECT_API_URL"}[package]
    shown = without_password(uri)
    try:
        answer = httpx.get(url, timeout=REQUEST_SECONDS, auth=credentials, trust_env=False)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        message = redact(str(error)) or type(error).__name__
        return Finding(name, "fail", f"{shown}: {message}", f"start it, or correct {variable}")
    if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        remedy = {
            "mlflow": "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
            "prefect": "set PREFECT_API_AUTH_STRING to user:password",
        }[package]
        return Finding(name, "fail", f"{shown}: refuses access ({answer.status_code})", remedy)
    if package == "prefect" and INVALID_HOST in answer.text:
        found = f"{shown}: does not accept the name {httpx.URL(url).host}"
        remedy = "start `factorgrid up` there with --allowed-hosts and this name"
        return Finding(name, "fail", found, f"{remedy}, or correct {variable}")
    if answer.status_code != httpx.codes.OK:
        found = f"{shown}: answers with status {answer.status_code}"
        return Finding(name, "fail", found, f"correct {variable}: this is not a {name} server")
    theirs, installed = answer.text.strip().strip('"'), importlib.metadata.version(package)
    if theirs != installed:
        remedy = "upgrade both to one version, the server first"
        return Finding(name, "warn", f"{shown}: version {theirs}, here {installed}", remedy)
    return Finding(name, "ok", f"{shown}, version {theirs}")


def findings_as_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the findings as plain JSON types."""
    return {"well": all_well(findings), "findings": [asdict(f) for f in findings]}


def all_well(findings: Sequence[Finding]) -> bool:
    """Whether no check failed."""
    return all(finding.state != "fail" for finding in findings)


def findings_as_text(findings: Sequence[Finding]) -> str:
    """Return one line per finding, and its remedy below if it has one."""
    lines = []
    for finding in findings:
        lines.append(f"{finding.state:<4}  {finding.name:<9}  {finding.found}")
        if finding.remedy:
            lines.append(f"      {'':<9}  -> {finding.remedy}")
    return "\n".join(lines)
