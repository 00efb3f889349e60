"""`factorgrid deploy`: creates the deployments of prefect.yaml for the user's study."""

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from tasks.data.allowed_folders import record_places
from tasks.errors import OrchestratorError
from tasks.redaction import redact, without_password
from tasks.service.access import CLIENT_PASSWORD
from tasks.service.prefect_address import check_prefect_address
from tasks.service.running_service import password_file
from tasks.service.work_pool import POOL, Api, create_automations
from tasks.settings import Settings
from tasks.study.backbone import weight_places
from tasks.study.study_file import Study, is_url

DEPLOYMENTS_FILE = Path(__file__).with_name("prefect.yaml")


#: Tag of a deployment that has the name of its study.
_OF_STUDY = "factorgrid-study"


@dataclass(frozen=True)
class DeploymentRequest:
    """What the options of the command line change in the file; None means no change.

    Attributes
    ----------
    study : replaces the study of the file.
    pictures : the folder or zip that `validate-images` validates daily.
    cron : when the study runs, UTC.
    """

    study: Study | None = None
    pictures: Path | None = None
    cron: str | None = None


def prefect_api_url(settings: Settings) -> str:
    """Return the address of the configured Prefect server.

    Raises
    ------
    OrchestratorError
        If none is configured, or no Prefect server answers there.
    """
    url = os.environ.get("PREFECT_API_URL")
    if not url:
        raise OrchestratorError(
            f"no Prefect server: `factorgrid up` does not run on {settings.home}; start it in "
            "another terminal, or set PREFECT_API_URL"
        )
    check_prefect_address(url)
    return url.rstrip("/")


def read_deployments(request: DeploymentRequest, file: Path = DEPLOYMENTS_FILE) -> dict[str, Any]:
    """Return the content of the file with the requested changes.

    Raises
    ------
    OrchestratorError
        If the cron schedule is invalid.
    """
    content: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    by_name = {entry["name"]: entry for entry in content["deployments"]}
    if request.study is not None:
        data = request.study.data
        study = request.study.model_dump(mode="json", exclude_unset=True)
        # The worker has another current folder.
        for key, place in (("source", data.source_place), ("rules", data.rules_place)):
            if place is not None and not is_url(str(place)):
                study["data"][key] = str(place.absolute())
        for name in ("search", "compare"):
            by_name[name]["parameters"]["study"] = study
        by_name["promote"]["parameters"]["model"] = request.study.model_name
    if request.pictures is not None:
        by_name["validate-images"]["parameters"]["source"] = str(request.pictures)
        by_name["validate-images"]["schedules"][0]["active"] = True
    if request.cron is not None:
        by_name["search"]["schedules"][0]["cron"] = _valid_cron(request.cron)
    return content


def _valid_cron(cron: str) -> str:
    from prefect.client.schemas.schedules import CronSchedule
    from pydantic import ValidationError

    try:
        return CronSchedule(cron=cron).cron
    except ValidationError as error:
        raise OrchestratorError(
            f"--cron {cron!r}: not a cron schedule; write five fields, as in '0 2 * * 6' "
            "(Saturday 2:00)"
        ) from error


def named_by_study(content: dict[str, Any]) -> dict[str, Any]:
    """Name the deployments by their study, so that two studies do not replace each other.

    The deployment of `promote` has the name of the model, which several studies may share.
    """
    study = _subject(content["deployments"][0])
    named = [
        {**entry, "name": _subject(entry) or study, "tags": [*entry["tags"], _OF_STUDY]}
        for entry in content["deployments"]
    ]
    return {**content, "deployments": named}


def _subject(deployment: dict[str, Any]) -> str:
    """Return the study or the model of a deployment; empty if its parameters name none."""
    parameters = deployment["parameters"]
    study = parameters.get("study")
    return str(study["name"] if isinstance(study, dict) else parameters.get("model", ""))


def create_deployments(settings: Settings, request: DeploymentRequest) -> dict[str, Any]:
    """Create the deployments of a study at the server, or replace them if they exist.

    Returns
    -------
    The address of the server without its password, the file with the password if `factorgrid up`
    runs the server, the work pool, name, schedules and queue of each deployment, and the paths and
    addresses that deployments of this home may use from now on.

    Raises
    ------
    OrchestratorError
        If no server answers, or Prefect refuses the deployments.
    """
    content = named_by_study(read_deployments(request))
    url = prefect_api_url(settings)
    try:
        _create_pool(settings, url)
        _deploy(settings, content)
        _delete_unnamed(url, content["deployments"])
        create_automations(url)
    except httpx.HTTPError as error:
        raise OrchestratorError(redact(f"Prefect at {url}: {error}")) from error
    summaries = [_summary(entry) for entry in content["deployments"]]
    file = password_file(settings.home, url)
    study = request.study
    used = [study.data.source_place, study.data.rules_place] if study else []
    used += weight_places(study).values() if study else []
    places = dict.fromkeys(place for place in [*used, request.pictures] if place is not None)
    return {
        "server": without_password(url),
        "password_file": str(file) if file else None,
        "pool": POOL,
        "deployments": summaries,
        "allowed": record_places(settings.home, places),
    }


def _summary(entry: dict[str, Any]) -> dict[str, Any]:
    crons = [s["cron"] for s in entry["schedules"] if s.get("active", True)]
    queue = entry["work_pool"]["work_queue_name"]
    flow = entry["entrypoint"].rpartition(".")[2].replace("_", "-")
    return {"name": f"{flow}/{entry['name']}", "crons": crons, "queue": queue}


def _create_pool(settings: Settings, url: str) -> None:
    """Create the work pool, unless a worker has created it already."""
    existing = Api(url).post("work_pools/filter", {"work_pools": {"name": {"any_": [POOL]}}})
    if not existing:
        _run_prefect(settings, "work-pool", "create", POOL, "--type", "process")


def _deploy(settings: Settings, content: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "prefect.yaml"
        file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        _run_prefect(settings, "--no-prompt", "deploy", "--all", "--prefect-file", str(file))


def _delete_unnamed(url: str, created: Sequence[dict[str, Any]]) -> None:
    """Delete the deployments that version 0.2.0 made for the same studies, models and images.

    They had the name of their flow, such as ``search/search``, and would run beside the new ones.
    """
    for old in Api(url).post("deployments/filter", {"deployments": {"tags": {"all_": [POOL]}}}):
        if _OF_STUDY in old["tags"] or old["entrypoint"] not in (e["entrypoint"] for e in created):
            continue
        (new,) = (entry for entry in created if entry["entrypoint"] == old["entrypoint"])
        same = _subject(old) == _subject(new)
        if same and old["parameters"].get("source") == new["parameters"].get("source"):
            Api(url).delete(f"deployments/{old['id']}")


def _run_prefect(settings: Settings, *arguments: str) -> None:
    # Not in the folder of the code: flows must import the installed package.
    ended = subprocess.run(  # noqa: S603 # our own interpreter and arguments
        [sys.executable, "-P", "-m", "prefect", *arguments],
        cwd=settings.create().logs,
        # Prefect breaks its lines at the width of the terminal, also within an address.
        env={**os.environ, "COLUMNS": "1000"},
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        output = redact(" ".join((ended.stdout + ended.stderr).split()))
        raise OrchestratorError(f"prefect {redact(' '.join(arguments[:3]))}: {output[-600:]}")


def deployments_as_text(created: dict[str, Any]) -> str:
    """Return for the terminal what was deployed, and how to run it now."""
    server = created["server"]
    lines = [f"Deployed to the work pool {created['pool']} at {server.removesuffix('/api')}:"]
    for entry in created["deployments"]:
        when = f"cron {', '.join(entry['crons'])} (UTC)" if entry["crons"] else "manual"
        lines.append(f"  {entry['name']:<34} queue {entry['queue']:<10} {when}")
    if created["allowed"]:
        places = ", ".join(created["allowed"])
        lines.append(f"Deployments that run in this home may read {places}.")
    name = shlex.quote(created["deployments"][0]["name"])
    variables = f"PREFECT_API_URL={server}"
    if created["password_file"]:
        variables += f' {CLIENT_PASSWORD}="$(cat {shlex.quote(created["password_file"])})"'
    command = f"{variables} prefect deployment run {name}"
    lines.append(f"To run one now, use the form in Prefect's pages, or:  {command}")
    return "\n".join(lines)
