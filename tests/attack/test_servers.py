"""Studies on one MLflow server that lies, is cut off, or has several homes at once."""

import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from attack.compare import StudyState, differences, leftovers, read_state
from attack.faults import PHASES, send_signal, wait_for_phase
from attack.record import Attack
from attack.study_process import AttackedStudy
from support.lying_proxy import Faults, LyingProxy
from support.mlflow_server import MlflowServer, mlflow_server

pytestmark = [pytest.mark.slow, pytest.mark.attack, pytest.mark.timeout(3600)]
#: What the proxy does to requests, each equally often; see `support.lying_proxy`.
LIES = ("error", "drop", "lose", "break", "halve", "double", "repeat")
#: Shares of the requests that are disturbed.
SHARES = (0.1, 0.3)
#: A start whose first connection is disturbed may end with a reason.
STARTS = 6
#: The first phase in which a study has a run in MLflow.
FIRST_RUN = 4


@contextmanager
def server_with_proxy(folder: Path) -> Iterator[tuple[MlflowServer, LyingProxy]]:
    with mlflow_server(folder) as server, LyingProxy(server.port).running() as proxy:
        yield server, proxy


def check(
    studies: Sequence[AttackedStudy], server: MlflowServer, attack: Attack, expected: StudyState
) -> None:
    """Compare all studies of a server with the undisturbed one."""
    for study in studies:
        state = read_state(study, server.folder / "server.db")
        attack.wrong += differences(state, expected, homes=len(studies))
        attack.wrong += leftovers(study, expected)
    attack.wrong[:] = dict.fromkeys(attack.wrong)
    assert attack.wrong == []


def test_lying_server(seed: int, attack: Attack, undisturbed: StudyState, tmp_path: Path) -> None:
    share = SHARES[seed % len(SHARES)]
    with server_with_proxy(tmp_path / "mlflow") as (server, proxy):
        proxy.faults = Faults({lie: share / len(LIES) for lie in LIES}, seed=seed)
        study = AttackedStudy(tmp_path / "study", MLFLOW_TRACKING_URI=proxy.uri)
        try:
            attack.wrong += study.finish(STARTS)
            effect = f"{proxy.counts.total()} requests, {len(study.commands)} starts"
            attack.faults.append(("lying server", f"{share:.0%} of the requests", effect))
            check([study], server, attack, undisturbed)
        finally:
            study.close()


Interrupt = Callable[[AttackedStudy, LyingProxy], Callable[[], None]]


def _cut_off(_: AttackedStudy, proxy: LyingProxy) -> Callable[[], None]:
    """Cut a study's way to the server; return what restores it."""
    proxy.faults = Faults({"drop": 1})

    def restore() -> None:
        proxy.faults = Faults()

    return restore


def _put_to_sleep(study: AttackedStudy, _: LyingProxy) -> Callable[[], None]:
    """Stop all processes of a study, as on a machine that sleeps; return what wakes them."""
    processes = study.processes()
    send_signal(processes, signal.SIGSTOP)
    return lambda: send_signal(processes, signal.SIGCONT)


@pytest.mark.parametrize(
    "interrupt", [pytest.param(_cut_off, id="cut off"), pytest.param(_put_to_sleep, id="asleep")]
)
def test_taken_over(
    seed: int, interrupt: Interrupt, attack: Attack, undisturbed: StudyState, tmp_path: Path
) -> None:
    """A study is interrupted for longer than its heartbeat; another home takes over."""
    chance = random.Random(seed)
    phase = chance.randrange(FIRST_RUN, len(PHASES))
    delay = chance.uniform(0, PHASES[phase].seconds)
    name = interrupt.__name__.strip("_").replace("_", " ")
    with server_with_proxy(tmp_path / "mlflow") as (server, proxy):
        first = AttackedStudy(tmp_path / "first", MLFLOW_TRACKING_URI=proxy.uri)
        second = AttackedStudy(tmp_path / "second", MLFLOW_TRACKING_URI=server.uri)
        try:
            first.start()
            reached = wait_for_phase(first, phase)
            time.sleep(delay)
            effect = "comes back" if reached and first.is_running else "missed: it had ended"
            resume = interrupt(first, proxy)
            second.start()
            # It comes back while the other home works, or when it has ended.
            if chance.random() < 0.5:  # half of the cases
                wait_for_phase(second, chance.randrange(FIRST_RUN, len(PHASES)))
            else:
                attack.wrong += second.wait()
            resume()
            attack.wrong += first.finish() + second.finish()
            attack.faults.append((name, f"{PHASES[phase].name} + {delay:.2f} s", effect))
            check([first, second], server, attack, undisturbed)
        finally:
            first.close()
            second.close()


def test_several_homes(seed: int, attack: Attack, undisturbed: StudyState, tmp_path: Path) -> None:
    """Two or three homes carry out one study at the same time."""
    count = 2 + seed % 2
    with mlflow_server(tmp_path / "mlflow") as server:
        studies = [
            AttackedStudy(tmp_path / f"home {i}", MLFLOW_TRACKING_URI=server.uri)
            for i in range(count)
        ]
        try:
            for study in studies:
                study.start()
            for study in studies:
                attack.wrong += study.finish()
            attack.faults.append((f"{count} homes at once", "", "ended"))
            check(studies, server, attack, undisturbed)
        finally:
            for study in studies:
                study.close()
