"""The container files, held to what they say: their commands run here as plain processes."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from support.service_process import until
from support.small_study import environment, factorgrid, write_study

from tasks.processes.ports import free_port

INFRA = Path(__file__).parents[2] / "infra"
COMPOSE = yaml.safe_load((INFRA / "containers" / "compose.yaml").read_text(encoding="utf-8"))
WORKER = list(yaml.safe_load_all((INFRA / "kubernetes" / "worker.yaml").read_text("utf-8")))
DOCKERFILE = (INFRA / "containers" / "Dockerfile").read_text(encoding="utf-8")
SECRETS = {
    "POSTGRES_PASSWORD": "p@s/s%20w:o#r d",
    "MLFLOW_ADMIN_PASSWORD": "m-secret-password",
    "MLFLOW_WORKER_PASSWORD": "w-secret-password",
    "MLFLOW_SECRET_KEY": "k-secret",
    "PREFECT_AUTH": "admin:f-secret",
}


def test_every_secret_comes_from_the_environment_and_has_no_default() -> None:
    text = (INFRA / "containers" / "compose.yaml").read_text(encoding="utf-8")
    for name in SECRETS:
        used = re.findall(rf"\$\{{{name}[^}}]*\}}", text)
        assert used
        assert all(":?" in use for use in used)
    assert "password = " not in (INFRA / "containers" / "auth.ini").read_text(encoding="utf-8")


def test_every_service_but_the_one_that_ends_is_restarted_and_listens_to_this_machine_only() -> (
    None
):
    for name, entry in COMPOSE["services"].items():
        assert entry["restart"] == ("no" if name in ("deploy", "users") else "unless-stopped")
        assert all(port.startswith("127.0.0.1:") for port in entry.get("ports", []))
    for name in ("postgres", "mlflow", "prefect"):
        assert "healthcheck" in COMPOSE["services"][name]


def test_the_image_has_locked_versions_and_does_not_run_as_root() -> None:
    assert "--require-hashes --requirement requirements.lock" in DOCKERFILE
    for target in ("cpu", "gpu"):
        stage = DOCKERFILE.split(f"AS {target}")[1].split("\nFROM ")[0]
        users = re.findall(
            r"^USER (\w+)", DOCKERFILE.split("FROM base AS cpu")[0] + stage, re.MULTILINE
        )
        assert users[-1] == "factorgrid"
    for source in re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.MULTILINE):
        for name in source.split():
            assert (INFRA.parent / name).exists(), name
    ignored = (INFRA.parent / ".dockerignore").read_text(encoding="utf-8")
    for name in ("analysis", "models", "tasks", "flows", "infra/prefect.yaml", "requirements.lock"):
        assert f"!{name}" in ignored


def test_only_mlflow_and_what_creates_its_users_have_the_password_of_its_administrator() -> None:
    holders = {
        name
        for name, entry in COMPOSE["services"].items()
        if "MLFLOW_ADMIN_PASSWORD" in json.dumps(entry)
    }
    assert holders == {"mlflow", "users"}
    assert COMPOSE["services"]["worker"]["environment"]["MLFLOW_TRACKING_USERNAME"] == "worker"
    (config,) = (part for part in WORKER if part["kind"] == "ConfigMap")
    assert config["data"]["MLFLOW_TRACKING_USERNAME"] == "worker"


def test_a_database_password_of_any_characters_reaches_both_servers_unchanged() -> None:
    variables = {
        name: _value(text) for name, text in COMPOSE["services"]["prefect"]["environment"].items()
    }
    code = (
        "from prefect.settings import get_current_settings as s; from sqlalchemy import make_url\n"
        "u = make_url(s().server.database.connection_url.get_secret_value())\n"
        "print(u.drivername, u.username, u.host, u.database, u.password, sep='\\n')"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment(INFRA), **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    password = SECRETS["POSTGRES_PASSWORD"]
    expected = ["postgresql+asyncpg", "factorgrid", "postgres", "factorgrid_prefect", password]
    assert ended.stdout.splitlines() == expected
    mlflow = COMPOSE["services"]["mlflow"]["environment"]
    assert "POSTGRES_PASSWORD" not in mlflow["MLFLOW_BACKEND_STORE_URI"]
    assert _value(mlflow["PGPASSWORD"]) == password


def test_a_worker_asks_for_one_gpu_and_takes_one_study() -> None:
    (deployment,) = (part for part in WORKER if part["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert container["command"][-2:] == ["--limit", "1"]
    assert pod["securityContext"]["runAsNonRoot"]
    kept = {claim["metadata"]["name"] for claim in WORKER if "Claim" in claim["kind"]}
    assert {v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"]} == kept


def _value(text: str) -> str:
    """Put the secrets in a value, as compose does."""
    return re.sub(r"\$\{(\w+)[^}]*\}", lambda found: SECRETS[found[1]], text)


class Machine:
    """The services of compose.yaml as processes on free ports, with SQLite for PostgreSQL."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        auth = (INFRA / "containers" / "auth.ini").read_text(encoding="utf-8")
        (folder / "auth.ini").write_text(auth.replace("/var/lib/factorgrid", str(self.home)))
        self.ports = {"5000": str(free_port()), "4200": str(free_port())}
        self.log = folder / "log.txt"
        self.swaps = {
            "postgresql://factorgrid@postgres/factorgrid_mlflow": f"sqlite:///{self.home}/m.db",
            "/etc/factorgrid/auth.ini": str(folder / "auth.ini"),
            "/etc/factorgrid/create_user.py": str(INFRA / "containers" / "create_user.py"),
            "/var/lib/factorgrid": str(self.home),
            "http://mlflow": "http://127.0.0.1",
            "http://prefect": "http://127.0.0.1",
            "0.0.0.0": "127.0.0.1",  # noqa: S104 # what is not to be bound to here
            **self.ports,
        }

    def here(self, text: str) -> str:
        for old, new in self.swaps.items():
            text = text.replace(old, new)
        return text

    def variables(self, name: str) -> dict[str, str]:
        given = COMPOSE["services"][name].get("environment", {})
        made = {k: self.here(_value(v)) for k, v in given.items()}
        made = {k: v for k, v in made.items() if not k.startswith("PREFECT_SERVER_DATABASE_")}
        return environment(self.home, PREFECT_HOME=str(self.home / "prefect"), **made)

    def words(self, command: list[str]) -> list[str]:
        words = [self.here(word) for word in command]
        start = {"python": [sys.executable], "factorgrid": [sys.executable, "-m", "flows.cli"]}
        return [*start[words[0]], *words[1:]]

    @contextmanager
    def running(self, name: str) -> Iterator["subprocess.Popen[bytes]"]:
        command = self.words(COMPOSE["services"][name]["command"])
        with self.log.open("ab") as log:
            guard = [sys.executable, "-m", "tasks.processes.supervisor", *command]
            process = subprocess.Popen(
                guard, env=self.variables(name), stdin=subprocess.PIPE, stdout=log, stderr=log
            )
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(60)

    def run(self, name: str) -> str:
        """Run a service that ends; return what it printed."""
        ended = subprocess.run(
            self.words(COMPOSE["services"][name]["command"]),
            env=self.variables(name),
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout + ended.stderr

    def is_healthy(self, name: str) -> bool:
        command = self.words(COMPOSE["services"][name]["healthcheck"]["test"][1:])
        return not subprocess.run(command, capture_output=True, check=False).returncode


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_command_runs_and_both_servers_ask_for_a_password(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    with ExitStack() as stack:
        for name in ("mlflow", "prefect"):
            stack.enter_context(machine.running(name))
        for name in ("mlflow", "prefect"):
            until(partial(machine.is_healthy, name), 300, name)
        printed = machine.run("users") + machine.run("users")  # again, as after a restart
        client = machine.variables("worker")
        _refuses(client)
        printed += machine.run("deploy")
        stack.enter_context(machine.running("worker"))
        given = {k: v for k, v in client.items() if k.startswith(("MLFLOW_", "PREFECT_"))}

        def well() -> Any:
            return "ok    worker" in factorgrid("doctor", home=machine.home, **given).stdout

        until(well, 200, "the worker")
        text = "http://worker:w-secret-password@127.0.0.1:" + machine.ports["5000"]
        commands: list[list[str | Path]] = [
            ["validate", "--data", _pictures(tmp_path)],
            ["search", write_study(tmp_path)],
        ]
        for words in commands:
            ended = factorgrid(*words, home=machine.home, **{**given, "MLFLOW_TRACKING_URI": text})
            assert ended.returncode == 0, ended.stderr
            printed += ended.stdout + ended.stderr
        _is_no_administrator(client)
        printed += machine.log.read_text(encoding="utf-8")
    for secret in ("m-secret-password", "w-secret-password", "f-secret", "k-secret"):
        assert secret not in printed
    (kubernetes,) = (part for part in WORKER if part["kind"] == "Deployment")
    command = kubernetes["spec"]["template"]["spec"]["containers"][0]["command"]
    assert (
        command[: len(COMPOSE["services"]["worker"]["command"])]
        == (COMPOSE["services"]["worker"]["command"])
    )


def _refuses(client: dict[str, str]) -> None:
    mlflow = f"{client['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/experiments/search?max_results=1"
    prefect = f"{client['PREFECT_API_URL']}/admin/version"
    for url in (mlflow, prefect):
        assert httpx.get(url, trust_env=False, timeout=60).status_code == 401
    good = ("admin", SECRETS["MLFLOW_ADMIN_PASSWORD"])
    assert httpx.get(mlflow, auth=good, trust_env=False, timeout=60).status_code == 200


def _is_no_administrator(client: dict[str, str]) -> None:
    """Check that the worker neither manages users nor changes what others have created."""
    api = f"{client['MLFLOW_TRACKING_URI']}/api/2.0/mlflow"
    worker = ("worker", SECRETS["MLFLOW_WORKER_PASSWORD"])
    for path, content in {
        "users/create": {"username": "other", "password": "x" * 20},
        "experiments/delete": {"experiment_id": "0"},
    }.items():
        answer = httpx.post(f"{api}/{path}", json=content, auth=worker, trust_env=False, timeout=60)
        assert answer.status_code == 403, answer.text
    changed = {"username": "admin", "password": "x" * 20}
    answer = httpx.patch(
        f"{api}/users/update-password", json=changed, auth=worker, trust_env=False, timeout=60
    )
    assert answer.status_code == 403, answer.text


def _pictures(folder: Path) -> Path:
    import cv2

    from models.images.drawn import draw

    images, labels, classes = draw(60, 32, seed=3)
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = folder / "pictures" / classes[label] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image)
    return folder / "pictures"
