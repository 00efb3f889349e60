"""Programs that are kept running, their guard, and the databases of a service."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest
from support.service_process import until

from tasks.errors import OrchestratorError
from tasks.processes.supervised import Supervised
from tasks.service.databases import open_databases
from tasks.service.programs import Service, choose_port
from tasks.service.work_pool import WORKER, _is_alive, _was_here
from tasks.settings import Settings

#: Starts a program in a session of its own, as Prefect's worker does, and says its process id.
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"],
                         start_new_session=True)
print(child.pid, flush=True)
time.sleep(600)
"""


def _service(tmp_path: Path, code: str, answer: bool = True) -> Service:  # noqa: FBT001, FBT002 # of a test
    command = [sys.executable, "-c", code]
    return Service("it", "", command, {}, tmp_path / "it.log", lambda: answer)


def _gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def _await_gone(pid: int) -> None:
    deadline = time.monotonic() + 60
    while not _gone(pid):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _grandchild(log: Path) -> int:
    deadline = time.monotonic() + 60
    while not log.read_text().strip():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return int(log.read_text())


def test_what_a_program_started_in_another_session_ends_with_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = Supervised([sys.executable, "-c", PARENT], log)
    child = _grandchild(log)
    program.stop()
    _await_gone(child)


def test_a_killed_caller_leaves_nothing_behind(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = (
        "import sys, time; from pathlib import Path\n"
        "from tasks.processes.supervised import Supervised\n"
        "Supervised([sys.executable, '-c', sys.argv[2]], Path(sys.argv[1])); time.sleep(600)"
    )
    caller = subprocess.Popen(
        [sys.executable, "-c", code, log, PARENT],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    deadline = time.monotonic() + 60
    while not log.exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    child = _grandchild(log)
    caller.send_signal(signal.SIGKILL)
    caller.wait()
    _await_gone(child)


def _look_for_a_minute(service: Service) -> None:
    for _ in range(600):
        service.look()
        time.sleep(0.1)


def test_a_program_that_falls_is_started_again_but_not_for_ever(tmp_path: Path) -> None:
    service = _service(tmp_path, "raise SystemExit(3)")
    service.start()
    with pytest.raises(OrchestratorError, match=r"ended 3 times in a row.*it\.log"):
        _look_for_a_minute(service)
    assert service.starts == 3


def test_a_program_that_was_well_and_is_busy_is_left_alone(tmp_path: Path) -> None:
    service = _service(tmp_path, "import time; time.sleep(600)")
    service.start()
    service.look()
    assert service.state == "up"
    service.answers, service.asked, service.started = lambda: False, 0, -1e6
    service.look()
    assert service.state == "no answer"
    service.stop()


def test_a_program_that_never_answers_is_an_error_that_names_its_log(tmp_path: Path) -> None:
    service = _service(tmp_path, "import time; time.sleep(600)", answer=False)
    service.start()
    service.started = -1e6
    with pytest.raises(OrchestratorError, match=r"gave no answer in .*it\.log"):
        service.look()
    service.stop()


def test_the_next_free_port_is_taken_where_none_is_named() -> None:
    first = choose_port("--mlflow-port", None, 20000, "127.0.0.1")
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first))
        taken.listen()
        assert choose_port("--mlflow-port", None, first, "127.0.0.1") > first
        with pytest.raises(OrchestratorError, match=f"--mlflow-port {first} at 127.0.0.1"):
            choose_port("--mlflow-port", first, 5000, "127.0.0.1")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://u:secret@h", "no address of a PostgreSQL server"),
        ("postgresql://u:secret@127.0.0.1:9/db", "leave /db out"),
        ("postgresql://u:secret@127.0.0.1:9", "start it, or correct the address"),
    ],
)
def test_a_database_that_cannot_be_had_is_one_line_without_its_password(
    url: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(OrchestratorError, match=words) as caught:
        open_databases(Settings(tmp_path, ""), url)
    assert "secret" not in str(caught.value)


def test_only_a_run_of_this_machine_whose_process_is_gone_is_lost() -> None:
    ours = {"labels": {"prefect.worker.name": WORKER}, "infrastructure_pid": "999999999"}
    assert _was_here(ours)
    assert not _is_alive(ours)
    assert not _is_alive({**ours, "infrastructure_pid": None})
    assert not _was_here({**ours, "labels": {"prefect.worker.name": "elsewhere"}})
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "prefect"]) as own:
        here = {**ours, "infrastructure_pid": str(own.pid)}
        try:
            # Its command line is there a moment after it is.
            assert until(partial(_is_alive, here), 5)
        finally:
            own.kill()
