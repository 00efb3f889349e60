"""What `factorgrid deploy` sends, and its errors."""

import importlib
from pathlib import Path

import prefect
import pytest
from support.small_study import STUDY, factorgrid, write_study

from tasks.errors import OrchestratorError
from tasks.service import deploy
from tasks.service.deploy import (
    DeploymentRequest,
    _delete_unnamed,
    create_deployments,
    deployments_as_text,
    named_by_study,
    read_deployments,
)
from tasks.service.work_pool import Api
from tasks.settings import Settings
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


def test_deployments_have_the_name_of_their_study_and_its_model(tmp_path: Path) -> None:
    text = f'registered_model = "pets"\n{STUDY}'
    study = load_study(str(write_study(tmp_path, text)))
    named = named_by_study(read_deployments(DeploymentRequest(study)))["deployments"]
    found = {entry["entrypoint"].rpartition(".")[2]: entry["name"] for entry in named}
    assert found == {
        "search": "tiny",
        "compare": "tiny",
        "validate_images": "tiny",
        "promote": "pets",
    }
    default = named_by_study(read_deployments(DeploymentRequest()))["deployments"]
    assert {entry["name"] for entry in default} == {"quick"}


def test_deployments_of_the_version_before_are_deleted_if_they_are_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = read_deployments(DeploymentRequest())["deployments"]
    other = {**old[0], "parameters": {"study": {"name": "other"}}}
    new = named_by_study(read_deployments(DeploymentRequest()))["deployments"]
    there = [{**entry, "id": str(number)} for number, entry in enumerate([*old, other, *new])]
    monkeypatch.setattr(Api, "post", lambda *_: there)
    deleted: list[str] = []
    monkeypatch.setattr(Api, "delete", lambda _, path: deleted.append(path))
    _delete_unnamed("http://127.0.0.1:9/api", new)
    assert deleted == [f"deployments/{number}" for number in range(len(old))]


def test_a_run_of_a_deployment_imports_nothing_from_its_folder() -> None:
    for entry in read_deployments(DeploymentRequest())["deployments"]:
        assert entry["work_pool"]["job_variables"] == {"env": {"PYTHONSAFEPATH": "1"}}


def test_no_output_shows_the_password_of_an_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "http://me:secret@127.0.0.1:9/api"
    monkeypatch.setattr(deploy, "prefect_api_url", lambda _: url)
    with pytest.raises(OrchestratorError, match=r"Prefect at http://me:\*\*\*@127") as caught:
        create_deployments(Settings(tmp_path, ""), DeploymentRequest())
    assert "secret" not in str(caught.value)
    for name in ("_create_pool", "_deploy", "_delete_unnamed", "create_automations"):
        monkeypatch.setattr(deploy, name, lambda *_: None)
    created = create_deployments(Settings(tmp_path, ""), DeploymentRequest())
    assert created["server"] == "http://me:***@127.0.0.1:9/api"
    assert "secret" not in deployments_as_text(created)


def test_an_error_of_prefects_command_is_shown_without_the_password(tmp_path: Path) -> None:
    url = "http://me:secret@127.0.0.1:9/api"
    with pytest.raises(OrchestratorError, match=r"prefect nonsense") as caught:
        deploy._run_prefect(Settings(tmp_path / "home", ""), "nonsense", url)
    assert "secret" not in str(caught.value)
