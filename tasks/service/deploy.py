"""`factorgrid deploy`: the deployments of infra/prefect.yaml, with the user's study in them."""

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from tasks.errors import OrchestratorError
from tasks.service.programs import answers
from tasks.service.work_pool import POOL, Api, watch_heartbeats
from tasks.settings import Settings
from tasks.study.study_file import Study

FILE = Path(__file__).parents[2] / "infra" / "prefect.yaml"


@dataclass(frozen=True)
class DeploymentRequest:
    """What the options of the command line change in the file.

    Attributes
    ----------
    study : in the place of the file's own.
    pictures : what `validate-images` looks at, daily.
    cron : when the study runs, in UTC.
    """

    study: Study | None = None
    pictures: Path | None = None
    cron: str | None = None


def server_of(settings: Settings) -> str:
    """Return the address of the Prefect server that is there.

    Raises
    ------
    OrchestratorError
        If none is named, or none answers.
    """
    url = os.environ.get("PREFECT_API_URL")
    if not url:
        raise OrchestratorError(
            f"no Prefect server: `factorgrid up` does not run on {settings.home}; start it in "
            "another terminal, or set PREFECT_API_URL"
        )
    if not answers(f"{url}/health"):
        raise OrchestratorError(
            f"PREFECT_API_URL {url}: no server answers; start it, or correct the address"
        )
    return url


def deployments(wish: DeploymentRequest, file: Path = FILE) -> dict[str, Any]:
    """Return the file's content with what is wished for in it.

    Raises
    ------
    OrchestratorError
        If the schedule is none.
    """
    content: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    by_name = {entry["name"]: entry for entry in content["deployments"]}
    if wish.study is not None:
        given = wish.study.model_dump(mode="json", exclude_unset=True)
        for name in ("search", "compare"):
            by_name[name]["parameters"]["study"] = given
        by_name["promote"]["parameters"]["model"] = wish.study.model_name
    if wish.pictures is not None:
        by_name["validate-images"]["parameters"]["source"] = str(wish.pictures)
        by_name["validate-images"]["schedules"][0]["active"] = True
    if wish.cron is not None:
        by_name["search"]["schedules"][0]["cron"] = _checked(wish.cron)
    return content


def _checked(cron: str) -> str:
    from prefect.client.schemas.schedules import CronSchedule
    from pydantic import ValidationError

    try:
        return CronSchedule(cron=cron).cron
    except ValidationError as error:
        raise OrchestratorError(
            f"--cron {cron!r}: no schedule; it has five fields, as in '0 2 * * 6' (Saturday 2:00)"
        ) from error


def create_deployments(settings: Settings, wish: DeploymentRequest) -> dict[str, Any]:
    """Put the deployments at the server; those of the same names are replaced.

    Returns
    -------
    The server's address, and name, schedules and queue of each deployment.

    Raises
    ------
    OrchestratorError
        If no server answers, or Prefect refuses.
    """
    content = deployments(wish)
    url = server_of(settings)
    try:
        _create_pool(settings, url)
        _prefect_deploy(settings, content)
        watch_heartbeats(url)
    except httpx.HTTPError as error:
        raise OrchestratorError(f"Prefect at {url}: {error}") from error
    return {"server": url, "pool": POOL, "deployments": [_about(d) for d in content["deployments"]]}


def _about(entry: dict[str, Any]) -> dict[str, Any]:
    crons = [s["cron"] for s in entry["schedules"] if s.get("active", True)]
    queue = entry["work_pool"]["work_queue_name"]
    flow = entry["entrypoint"].rpartition(".")[2].replace("_", "-")
    return {"name": f"{flow}/{entry['name']}", "crons": crons, "queue": queue}


def _create_pool(settings: Settings, url: str) -> None:
    """Create the work pool, where no worker has made it yet."""
    found = Api(url).post("work_pools/filter", {"work_pools": {"name": {"any_": [POOL]}}})
    if not found:
        _prefect(settings, "work-pool", "create", POOL, "--type", "process")


def _prefect_deploy(settings: Settings, content: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "prefect.yaml"
        file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        _prefect(settings, "--no-prompt", "deploy", "--all", "--prefect-file", str(file))


def _prefect(settings: Settings, *words: str) -> None:
    # Not where the code is: what the flows import is what is installed.
    ended = subprocess.run(  # noqa: S603 # our own interpreter and words
        [sys.executable, "-P", "-m", "prefect", *words],
        cwd=settings.home,
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        said = " ".join((ended.stdout + ended.stderr).split())
        raise OrchestratorError(f"prefect {' '.join(words[:3])}: {said[-600:]}")


def deployments_as_text(done: dict[str, Any]) -> str:
    """Return what a terminal prints: what was deployed, and how to run it now."""
    lines = [f"Deployed to the work pool {done['pool']} at {done['server'].removesuffix('/api')}:"]
    for entry in done["deployments"]:
        when = f"cron {', '.join(entry['crons'])} (UTC)" if entry["crons"] else "by hand"
        lines.append(f"  {entry['name']:<34} queue {entry['queue']:<10} {when}")
    run = f"PREFECT_API_URL={done['server']} prefect deployment run search/search"
    lines.append(f"Run one now, or by the form in the pages:  {run}")
    return "\n".join(lines)
