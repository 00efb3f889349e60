"""What `factorgrid deploy` sends, and its errors."""

import importlib
from pathlib import Path

import prefect
import pytest
from support.small_study import factorgrid

from tasks.errors import OrchestratorError
from tasks.service.deploy import DeploymentRequest, read_deployments
from tasks.study.study_file import load_study, parse_study


def _by_name(request: DeploymentRequest) -> dict[str, dict[str, object]]:
    return {entry["name"]: entry for entry in read_deployments(request)["deployments"]}


def test_the_study_of_the_file_is_the_built_in_quick_study() -> None:
    parameters = _by_name(DeploymentRequest())["search"]["parameters"]
    assert isinstance(parameters, dict)
    assert parse_study(parameters["study"], "prefect.yaml") == load_study("quick")


def test_every_entrypoint_is_a_flow_that_accepts_the_parameters_of_the_file() -> None:
    for entry in read_deployments(DeploymentRequest())["deployments"]:
        module, _, name = entry["entrypoint"].rpartition(".")
        flow = getattr(importlib.import_module(module), name)
        assert isinstance(flow, prefect.Flow)
        flow.validate_parameters(entry["parameters"])
        for schedule in entry["schedules"]:
            flow.validate_parameters({**entry["parameters"], **schedule.get("parameters", {})})


def test_a_request_changes_study_pictures_and_schedule(tmp_path: Path) -> None:
    study = load_study("quick", source=str(tmp_path))
    found = _by_name(DeploymentRequest(study, tmp_path, "0 3 * * *"))
    assert found["search"]["parameters"]["study"]["data"]["source"] == str(tmp_path)  # type: ignore[index] # it is JSON
    assert found["search"]["schedules"][0]["cron"] == "0 3 * * *"  # type: ignore[index] # it is JSON
    assert found["compare"]["parameters"]["study"] == found["search"]["parameters"]["study"]  # type: ignore[index] # it is JSON
    assert found["validate-images"]["parameters"] == {"source": str(tmp_path)}
    assert found["validate-images"]["schedules"][0]["active"]  # type: ignore[index] # it is JSON


def test_an_invalid_schedule_is_a_one_line_error() -> None:
    with pytest.raises(OrchestratorError, match=r"--cron 'weekly': not a cron schedule"):
        read_deployments(DeploymentRequest(cron="weekly"))


def test_without_a_server_the_error_says_how_to_start_one(tmp_path: Path) -> None:
    ended = factorgrid("deploy", home=tmp_path / "home")
    assert ended.returncode == 2
    (line,) = ended.stderr.strip().splitlines()
    assert "factorgrid up" in line
    assert "PREFECT_API_URL" in line
