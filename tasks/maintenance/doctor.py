"""`factorgrid doctor`: what is wrong with a set-up, and the remedy."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import httpx
import psutil
from packaging.requirements import Requirement

from tasks.processes.supervised import is_free
from tasks.redaction import without_password
from tasks.service.programs import MLFLOW_PORT, PREFECT_PORT
from tasks.service.running_service import running_service
from tasks.settings import Settings
from tasks.tracking.database_schema import is_to_come, schema_of

GIGABYTE = 1e9
#: Gigabytes of disk and memory below which a study may fail, and below which it will.
DISK, MEMORY = (5.0, 0.5), (2.0, 0.7)
REQUEST_SECONDS = 5

Severity = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, how it is, and what to do where it is not well."""

    name: str
    state: Severity
    found: str
    remedy: str = ""


Check = Callable[[Settings], Iterator[Finding]]


def examine(settings: Settings) -> list[Finding]:
    """Look at everything; nothing is changed but for a file that is made and removed again."""
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
        said = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
        yield Finding("packages", "ok", f"within their bounds: {said}")


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
            remedy = "make install, which takes the locked versions"
            yield Finding(wanted.name, "fail", f"{found}, wanted {wanted.specifier}", remedy)


def _home(settings: Settings) -> Iterator[Finding]:
    home = settings.home
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
        yield Finding("home", "ok", f"{home}" + ("" if home.exists() else ", to be made"))
    except OSError as error:
        remedy = "set FACTORGRID_HOME to a folder of your own"
        yield Finding("home", "fail", f"{there}: {error.strerror}", remedy)
    free = shutil.disk_usage(there).free / GIGABYTE
    remedy = "factorgrid prune, factorgrid cache --clear, or FACTORGRID_HOME on another disk"
    yield _enough("disk", free, DISK, f"{free:,.1f} GB free at {there}", remedy)


def _enough(
    name: str, value: float, limits: tuple[float, float], found: str, remedy: str
) -> Finding:
    low, least = limits
    state: Severity = "ok" if value >= low else "warn" if value >= least else "fail"
    return Finding(name, state, found, "" if state == "ok" else remedy)


def _memory(_: Settings) -> Iterator[Finding]:
    free = psutil.virtual_memory().available / GIGABYTE
    remedy = "end other programs: TensorFlow and a study want 2 GB"
    yield _enough("memory", free, MEMORY, f"{free:,.1f} GB available", remedy)


def _devices(_: Settings) -> Iterator[Finding]:
    program = shutil.which("nvidia-smi")
    cores = len(os.sched_getaffinity(0))
    if program is None:
        yield Finding("devices", "ok", f"no GPU; {cores} cores train")
        return
    ended = subprocess.run(  # noqa: S603 # the driver's own program
        [program, "--list-gpus"], capture_output=True, text=True, timeout=30, check=False
    )
    gpus = ended.stdout.strip().splitlines()
    if ended.returncode or not gpus:
        said = " ".join((ended.stderr or ended.stdout).split())[:200]
        remedy = "mend the driver, or train on the CPU as it is"
        yield Finding("devices", "warn", f"nvidia-smi: {said or 'no GPU'}", remedy)
        return
    yield Finding("devices", "ok", "; ".join(line.split(" (UUID")[0] for line in gpus))


def _ports(settings: Settings) -> Iterator[Finding]:
    if running_service(settings.home):
        return
    for name, port in (("MLflow", MLFLOW_PORT), ("Prefect", PREFECT_PORT)):
        if is_free("127.0.0.1", port):
            yield Finding("port", "ok", f"{port} is free for {name}")
        else:
            remedy = f"`factorgrid up` takes the next free one; --{name.lower()}-port names another"
            yield Finding("port", "warn", f"{port}, {name}'s usual one, is taken", remedy)


def _mlflow(settings: Settings) -> Iterator[Finding]:
    uri = settings.tracking_uri
    if uri.startswith("http"):
        yield _server("MLflow", uri, f"{uri}/version", "mlflow", _mlflow_credentials())
        return
    if is_to_come(uri):
        file = uri.removeprefix("sqlite:///")
        yield Finding("database", "ok", f"{file}, to be made by the first study")
        return
    yield _database(uri)


def _database(uri: str) -> Finding:
    try:
        schema = schema_of(uri)
    except Exception as error:  # noqa: BLE001 # whatever a driver raises: it is told
        said = " ".join(str(error).split())[:200]
        remedy = "start it, or correct MLFLOW_TRACKING_URI"
        return Finding("database", "fail", f"{without_password(uri)}: {said}", remedy)
    if schema.fault:
        return Finding(
            "database", "fail", f"{without_password(uri)}: {schema.fault}", schema.remedy
        )
    if not schema.revision:
        return Finding(
            "database", "ok", f"{without_password(uri)}, to be filled by the first study"
        )
    return Finding("database", "ok", f"{without_password(uri)}, schema {schema.revision}")


def _prefect(_: Settings) -> Iterator[Finding]:
    url = os.environ.get("PREFECT_API_URL")
    if not url:
        yield Finding("Prefect", "ok", "no server; each study brings its own (or: factorgrid up)")
        return
    user, separator, password = os.environ.get("PREFECT_API_AUTH_STRING", "").partition(":")
    credentials = (user, password) if separator else None
    server = _server("Prefect", url, f"{url}/admin/version", "prefect", credentials)
    yield server
    if server.state != "fail":
        yield _workers(url)


def _workers(url: str) -> Finding:
    from tasks.service.work_pool import POOL, online_workers

    names = online_workers(url)
    if names:
        return Finding("worker", "ok", f"{', '.join(names)} in the work pool {POOL}")
    remedy = f"factorgrid up, or: prefect worker start --pool {POOL} --type process"
    return Finding("worker", "warn", f"none in the work pool {POOL}: nothing is run", remedy)


def _mlflow_credentials() -> tuple[str, str] | None:
    user = os.environ.get("MLFLOW_TRACKING_USERNAME")
    return (user, os.environ.get("MLFLOW_TRACKING_PASSWORD", "")) if user else None


def _server(
    name: str, uri: str, url: str, package: str, credentials: tuple[str, str] | None
) -> Finding:
    """Ask a server for its version: it is to be ours."""
    variable = {"mlflow": "MLFLOW_TRACKING_URI", "prefect": "PREFECT_API_URL"}[package]
    try:
        answer = httpx.get(url, timeout=REQUEST_SECONDS, auth=credentials, trust_env=False)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        said = str(error) or type(error).__name__
        return Finding(name, "fail", f"{uri}: {said}", f"start it, or correct {variable}")
    if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        remedy = {
            "mlflow": "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
            "prefect": "set PREFECT_API_AUTH_STRING to user:password",
        }[package]
        return Finding(name, "fail", f"{uri}: refuses us ({answer.status_code})", remedy)
    if answer.status_code != httpx.codes.OK:
        found = f"{uri}: answers {answer.status_code}"
        return Finding(name, "fail", found, f"correct {variable}: this is no server of {name}'s")
    theirs, ours = answer.text.strip().strip('"'), importlib.metadata.version(package)
    if theirs != ours:
        remedy = "bring both to one version; the server first"
        return Finding(name, "warn", f"{uri}: version {theirs}, here {ours}", remedy)
    return Finding(name, "ok", f"{uri}, version {theirs}")


def findings_as_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return plain JSON types."""
    return {"well": all_well(findings), "findings": [asdict(f) for f in findings]}


def all_well(findings: Sequence[Finding]) -> bool:
    """Whether nothing fails."""
    return all(finding.state != "fail" for finding in findings)


def findings_as_text(findings: Sequence[Finding]) -> str:
    """Return a line each, and the remedy below where there is one."""
    lines = []
    for finding in findings:
        lines.append(f"{finding.state:<4}  {finding.name:<9}  {finding.found}")
        if finding.remedy:
            lines.append(f"      {'':<9}  -> {finding.remedy}")
    return "\n".join(lines)
