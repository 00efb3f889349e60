"""Waiting for a tracking server that is away: a restart costs waiting, not runs.

MLflow's own client asks again for four minutes, silently, and repeats what must not be repeated: a
run whose creation was done but whose answer was lost is created twice. So it is told to ask once
(`Tracker.open`), and what is worth another try is tried again here, for as long as the user wants.
"""

import datetime as dt
import random
import re
import sys
import threading
import time
import uuid
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from tasks.errors import TrackingError

if TYPE_CHECKING:
    from requests import RequestException

#: A tag that makes a creation recognisable, should its answer be lost; not shown in MLflow's pages.
ONCE = "mlflow.factorgrid.once"
#: Seconds between tries: doubled from the first to the longest.
FIRST, LONGEST = 0.5, 15.0
#: MLflow's codes for what passes; a database that is away or locked is among them.
PASSING = {"TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "DEADLINE_EXCEEDED"}

Answer = TypeVar("Answer")
#: Takes a line to be said, and what is to be shown until the next; empty where nothing is.
Notify = Callable[[str, str], None]


def print_notice(line: str, _: str) -> None:
    """Say it where no display is."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201 # a command without a display of its own


class RetryPolicy:
    """How long a tracking server is waited for; threads share it.

    Parameters
    ----------
    address : the server's, for words.
    minutes : of waiting, in one go, before it is given up.
    tell : told when waiting begins and when it ends.
    """

    def __init__(self, address: str, minutes: float, tell: Notify) -> None:
        self.address, self.minutes, self.tell = address, minutes, tell
        self._lock = threading.Lock()
        self._since: float | None = None
        self._over = threading.Event()

    def end(self) -> None:
        """Wait no more: the study ends, and what is told MLflow from now on is told once."""
        self._over.set()

    def call(self, action: Callable[[], Answer]) -> Answer:
        """Do something at the server, again and again while it is away.

        Only for what may be done twice.

        Raises
        ------
        TrackingError
            If it stayed away for too long, or the study ends.
        """
        started, pause = time.monotonic(), FIRST
        while True:
            try:
                answer = action()
            except Exception as error:
                reason = why_unreachable(error)
                if reason is None:
                    raise
                # Jitter keeps the threads of many studies from asking a fresh server at once.
                wait = pause * random.uniform(0.5, 1)
                waited = time.monotonic() - started
                if self._over.is_set() or waited + wait > 60 * self.minutes:
                    self.end()  # nobody else needs to find out for as long
                    raise self._given_up(reason, waited) from error
                self._away(reason)
                self._over.wait(wait)
                pause = min(2 * pause, LONGEST)
            else:
                self._back()
                return answer

    def _given_up(self, reason: str, seconds: float) -> TrackingError:
        waited = f" for {seconds / 60:.0f} min" if seconds >= 60 else ""  # noqa: PLR2004 # a minute
        return TrackingError(
            f"MLflow at {self.address}: {reason}{waited}; start it, then run the same command "
            "again: it goes on from here (FACTORGRID_PATIENCE is how many minutes it waits)"
        )

    def _away(self, reason: str) -> None:
        with self._lock:
            if self._since is not None:
                return
            self._since = time.monotonic()
        words = f"waiting for MLflow at {self.address}, up to {self.minutes:g} min: {reason}"
        self.tell(words, words)

    def _back(self) -> None:
        if self._since is None:
            return
        with self._lock:
            since, self._since = self._since, None
        if since is not None:
            minutes, seconds = divmod(round(time.monotonic() - since), 60)
            self.tell(f"MLflow answers again, after {minutes}:{seconds:02d}", "")


def why_unreachable(error: BaseException) -> str | None:
    """Return in words why an error may pass by itself; None where it will not."""
    import requests
    from mlflow.exceptions import MlflowException

    code = error.error_code if isinstance(error, MlflowException) else None
    if code in PASSING:
        words = " ".join(str(error).split())[:100]
        # A file is not away: unless another writer has it locked, its errors stay.
        lasting = "sqlite3." in words and "locked" not in words
        return None if lasting else f"it is not available ({words})"
    # MLflow hides the cause in words; Python remembers it.
    cause = error if isinstance(error, requests.RequestException) else error.__context__
    if isinstance(cause, requests.RequestException):
        return _why_broken(cause)
    # A download's threads keep their errors to themselves; that of a missing file has its own code.
    lost = code == "INTERNAL_ERROR" and "occurred while downloading" in str(error)
    return "a download broke off" if lost else None


def _why_broken(error: "RequestException") -> str | None:
    from requests import exceptions

    match error:
        case exceptions.SSLError():
            return None
        case exceptions.Timeout():
            return "it does not answer in time"
        case exceptions.RetryError():
            # MLflow counts 408, 429, 500, 502, 503 and 504 as passing.
            status = re.search(r"too many (\d+) error", str(error))
            return f"it answers with error {status[1]}" if status else "it answers with errors"
        case exceptions.ConnectionError() | exceptions.ChunkedEncodingError():
            refused = "Connection refused" in str(error)
            return "no server answers" if refused else "the connection broke"
    return None


class RetryingClient:
    """MLflow's client, patient: every method waits for the server, and creates once.

    Parameters
    ----------
    impatient : MLflow's own.
    patience : how long to wait.
    """

    def __init__(self, impatient: Any, patience: RetryPolicy) -> None:
        self.impatient, self.patience = impatient, patience

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.impatient, name)
        return lambda *given, **named: self.patience.call(partial(method, *given, **named))

    def create_run(
        self,
        experiment_id: str,
        *,
        tags: dict[str, str] | None = None,
        run_name: str | None = None,
    ) -> Any:
        """Create a run, once."""
        once = uuid.uuid4().hex
        create = partial(
            self.impatient.create_run,
            experiment_id,
            tags={**(tags or {}), ONCE: once},
            run_name=run_name,
            # When it was asked for: the order of events is kept however long the answer takes.
            start_time=_now(),
        )
        condition = f"tags.`{ONCE}` = '{once}'"
        return self._once(create, lambda: self.impatient.search_runs([experiment_id], condition))

    def set_terminated(self, run_id: str, status: str | None = None) -> None:
        """End a run, at the time at which that was asked for."""
        end = partial(self.impatient.set_terminated, run_id, status, end_time=_now())
        self.patience.call(end)

    def create_model_version(
        self,
        name: str,
        source: str,
        run_id: str,
        *,
        tags: dict[str, str] | None = None,
        description: str | None = None,
    ) -> Any:
        """Create a version of a registered model, once."""
        once = uuid.uuid4().hex
        create = partial(
            self.impatient.create_model_version,
            name,
            source,
            run_id,
            tags={**(tags or {}), ONCE: once},
            description=description,
        )

        def found() -> list[Any]:
            versions = self.impatient.search_model_versions(f"run_id = '{run_id}'")
            return [v for v in versions if v.name == name and v.tags.get(ONCE) == once]

        return self._once(create, found)

    def _once(self, create: Callable[[], Any], find: Callable[[], Any]) -> Any:
        """Create something, and look whether it is there before creating it again."""
        tried = False

        def attempt() -> Any:
            nonlocal tried
            if tried and (there := find()):
                return there[0]
            tried = True
            return create()

        return self.patience.call(attempt)


def _now() -> int:
    return int(dt.datetime.now(tz=dt.UTC).timestamp() * 1000)
