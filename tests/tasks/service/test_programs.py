"""Programs that are kept running, their supervisor, and the databases of a service."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tasks.errors import OrchestratorError
from tasks.processes.supervised import SupervisedProgram
from tasks.service.databases import open_databases
from tasks.service.programs import choose_port
from tasks.service.watched_program import WatchedProgram
from tasks.service.work_pool import WORKER, _is_alive, _ran_here
from tasks.settings import Settings

#: Starts a program in a new session, as Prefect's worker does, and prints its process id.
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"],
                         start_new_session=True)
print(child.pid, flush=True)
time.sleep(600)
"""


def _program(tmp_path: Path, code: str, *, healthy: bool = True) -> WatchedProgram:
    command = [sys.executable, "-c", code]
    return WatchedProgram("it", "", command, {}, tmp_path / "it.log", lambda: healthy)


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


def test_processes_that_a_program_starts_in_another_session_end_with_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = SupervisedProgram([sys.executable, "-c", PARENT], log)
    child = _grandchild(log)
    program.stop()
    _await_gone(child)


def test_a_killed_caller_leaves_no_process_behind(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = (
        "import sys, time; from pathlib import Path\n"
        "from tasks.processes.supervised import SupervisedProgram\n"
        "SupervisedProgram([sys.executable, '-c', sys.argv[2]], Path(sys.argv[1])); time.sleep(600)"
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


@pytest.mark.parametrize("which", ["watcher", "guard", "both"])
def test_a_killed_supervisor_leaves_no_process_behind(tmp_path: Path, which: str) -> None:
    log = tmp_path / "log"
    program = SupervisedProgram([sys.executable, "-c", PARENT], log)
    child = _grandchild(log)
    watcher = psutil.Process(program.pid)
    (guard,) = watcher.children()
    (parent,) = guard.children()
    killed = {"watcher": [watcher], "guard": [guard], "both": [watcher, guard]}[which]
    for process in killed:
        process.suspend()  # so that neither acts before both are killed
    for process in killed:
        process.kill()
    _await_gone(parent.pid)
    if which != "both":  # then only the program is certain to end, which handed nothing down
        _await_gone(child)
    else:
        os.kill(child, signal.SIGKILL)
    program.stop()
    assert program.exit_status


def test_an_adopted_process_that_has_ended_leaves_no_entry(tmp_path: Path) -> None:
    orphan = "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', '']).pid)"
    code = (
        f"import subprocess, sys, time; subprocess.run([sys.executable, '-c', {orphan!r}]); "
        "time.sleep(600)"
    )
    program = SupervisedProgram([sys.executable, "-c", code], tmp_path / "log")
    ended = _grandchild(tmp_path / "log")
    deadline = time.monotonic() + 60
    while psutil.pid_exists(ended):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    program.stop()


def test_an_inherited_socket_stays_open_while_its_program_is_started_again(tmp_path: Path) -> None:
    code = (
        "import socket, sys; server = socket.socket(fileno=int(sys.argv[1]))\n"
        "while True: server.accept()[0].sendall(b'here')"
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        command = [sys.executable, "-c", code, str(server.fileno())]
        for _ in range(2):
            with socket.create_connection(server.getsockname()) as client:
                program = SupervisedProgram(command, tmp_path / "log", None, [server.fileno()])
                client.settimeout(60)
                assert client.recv(4) == b"here"
                program.stop()


def _check_for_a_minute(program: WatchedProgram) -> None:
    for _ in range(600):
        program.check()
        time.sleep(0.1)


def test_a_program_that_ends_is_started_again_but_not_for_ever(tmp_path: Path) -> None:
    program = _program(tmp_path, "raise SystemExit(3)")
    program.start()
    with pytest.raises(OrchestratorError, match=r"ended 3 times in a row.*it\.log"):
        _check_for_a_minute(program)
    assert program.starts == 3


def test_a_program_that_was_up_and_is_busy_is_not_restarted(tmp_path: Path) -> None:
    program = _program(tmp_path, "import time; time.sleep(600)")
    program.start()
    program.check()
    assert program.state == "up"
    program.is_healthy, program.checked_at, program.started_at = lambda: False, 0, -1e6
    program.check()
    assert program.state == "no answer"
    program.stop()


def test_a_program_that_never_answers_is_an_error_that_names_its_log(tmp_path: Path) -> None:
    program = _program(tmp_path, "import time; time.sleep(600)", healthy=False)
    program.start()
    program.started_at = -1e6
    with pytest.raises(OrchestratorError, match=r"gave no answer in .*it\.log"):
        program.check()
    program.stop()


def test_the_next_free_port_is_used_if_none_is_requested() -> None:
    first = choose_port("--mlflow-port", None, 20000, "127.0.0.1")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first))
        taken.listen()
        assert choose_port("--mlflow-port", None, first, "127.0.0.1") > first
        with pytest.raises(OrchestratorError, match=f"--mlflow-port {first} at 127.0.0.1"):
            choose_port("--mlflow-port", first, 5000, "127.0.0.1")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://u:secret@h", "not the address of a PostgreSQL server"),
        ("postgresql://u:secret@127.0.0.1:9/db", "names the database /db; omit it"),
        ("postgresql://u:secret@127.0.0.1:9", "start it, or correct the address"),
    ],
)
def test_a_database_that_cannot_be_used_is_an_error_without_its_password(
    url: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(OrchestratorError, match=message) as caught:
        open_databases(Settings(tmp_path, ""), url)
    assert "secret" not in str(caught.value)


def test_only_a_run_of_this_machine_whose_process_is_gone_is_lost() -> None:
    ours = {"labels": {"prefect.worker.name": WORKER}, "infrastructure_pid": "999999999"}
    assert _ran_here(ours)
    assert not _is_alive(ours)
    assert not _is_alive({**ours, "infrastructure_pid": None})
    assert not _ran_here({**ours, "labels": {"prefect.worker.name": "another"}})
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "prefect"]) as own:
        here = {**ours, "infrastructure_pid": str(own.pid)}
        try:
            # The command line of a new process can be read only after a moment.
            deadline = time.monotonic() + 5
            while not _is_alive(here):
                assert time.monotonic() < deadline
                time.sleep(0.1)
        finally:
            own.kill()
