"""Waiting for a tracking server that is unreachable: its restart costs time, but no run.

MLflow's own client retries for four minutes without a message, and repeats calls that must not be
repeated: if a run was created and the answer was lost, it creates a second run. `Tracker.open`
therefore turns MLflow's retries off, and this module repeats what is safe to repeat, for as long
as the user configured. It waits for each answer for a short time only (MLflow: two minutes), and
for a shorter time when the study ends.

Waiting may take longer than the lease of a run: see `tasks.tracking.leases` for what holds then.
"""

import datetime as dt
import os
import random
import re
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from tasks.errors import RetryableError, TrackingError
from tasks.redaction import redact, without_password

if TYPE_CHECKING:
    from requests import RequestException

#: What MLflow says of a run or an experiment that was deleted.
DELETED = "must be in the 'active' state"
_DAMAGED = (
    "restore its file from a copy, or move it away, and an empty database is created; or correct "
    "MLFLOW_TRACKING_URI"
)
#: What SQLite's errors say -> what to do. The first that fits counts.
DATABASE_REMEDIES = {
    "file is not a database": _DAMAGED,
    "disk image is malformed": _DAMAGED,
    "database or disk is full": "free space on its disk",
    "disk I/O error": "free space on its disk, or check the disk",
    "readonly database": "make its file and folder writable",
    "unable to open database file": "make its file and folder readable and writable",
    "(sqlite3.OperationalError)": "make its file and folder writable, with space on disk",
}
#: Tag: identifies a creation whose answer was lost. MLflow's pages hide tags with this prefix.
CREATION_ID = "mlflow.factorgrid.once"
#: Seconds between two tries: the first pause is doubled up to the longest.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 15.0
#: The longest pause if a part of the answer arrived, or the connection broke: the server may be
#: reachable, and there is no sign that it has too much to do.
LONGEST_PAUSE_IF_LOST = 2.0
#: Seconds to wait for one answer, unless the user set MLflow's own variable; and after a study was
#: ended.
ANSWER_SECONDS, LAST_ANSWER_SECONDS = 30, 4
#: Seconds after the end of a study in which calls that failed are repeated.
ENDING_SECONDS = 3.0
#: Minutes between two lines that say that a study still waits.
NOTICE_MINUTES = 5.0
#: MLflow's variable for the seconds to wait for one answer; MLflow reads it at every call.
TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"
#: What the user set it to; empty if it was not set.
USERS_TIMEOUT = os.environ.get(TIMEOUT, "")
#: Why a call is repeated if only a part of its answer arrived, or something else did.
INCOMPLETE = "its answers are incomplete"
#: The same of an artifact, and if the connection was closed.
INTERRUPTED, BROKEN = "a download was interrupted", "the connection broke"
#: Why a call is repeated if there is no server, or it does not answer.
NO_SERVER, NO_ANSWER = "no server answers", "it does not answer in time"
#: How often a server is called at the start whose answers are lost.
FIRST_CALLS = 5
#: MLflow's codes for temporary errors; a database that is unreachable or locked is one of them.
TEMPORARY_CODES = {"TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "DEADLINE_EXCEEDED"}

Answer = TypeVar("Answer")
#: Receives a line to print, and the status to display until the next call; empty to clear it.
Notify = Callable[[str, str], None]


def print_notice(line: str, _: str) -> None:
    """Print a line to standard error, for commands without a progress display."""
    print(redact(line), file=sys.stderr, flush=True)  # noqa: T201 # a command without a display of its own


class RetryPolicy:
    """How long to wait for an unreachable tracking server; all threads share one policy.

    Parameters
    ----------
    address : of the server, for messages; they do not show its password.
    minutes : how long one call waits before it gives up.
    notify : called when waiting begins and when it ends.
    """

    def __init__(self, address: str, minutes: float, notify: Notify) -> None:
        self.address, self.minutes, self.notify = without_password(address), minutes, notify
        self._lock = threading.Lock()
        self._unreachable_since: float | None = None
        self._last_notice = 0.0
        self._stopped = threading.Event()
        self._stopped_since = 0.0
        self._gave_up = ""

    def stop_waiting(self) -> None:
        """Wait only a few seconds more in all: the study ends.

        A server that answers is used as before. If a call fails after these seconds, every later
        call fails without being tried: nothing is worth waiting for its time-out again and again.
        """
        with self._lock:
            if not self._stopped.is_set():
                self._stopped_since = time.monotonic()
                limit_timeout(LAST_ANSWER_SECONDS)
                self._stopped.set()

    def call(self, action: Callable[[], Answer]) -> Answer:
        """Call the server, again and again while it is unreachable.

        Use it only for actions that are safe to repeat.

        Raises
        ------
        TrackingError
            If the server is unreachable for too long, or the study ends.
        """
        started, pause = time.monotonic(), FIRST_PAUSE_SECONDS
        while True:
            if self._gave_up:
                raise self._unreachable_error(self._gave_up, 0)
            try:
                answer = action()
            except Exception as error:
                reason = temporary_reason(error)
                if reason is None:
                    self._raise_if_refused(error)
                    raise
                # Random, so that the threads of many studies do not all call a server that has
                # just started at the same moment.
                wait = pause * random.uniform(0.5, 1)
                now = time.monotonic()
                is_over = now - started + wait > 60 * self.minutes
                if self._stopped.is_set():
                    is_over = now - self._stopped_since + FIRST_PAUSE_SECONDS > ENDING_SECONDS
                if is_over:
                    self._gave_up = reason  # no other thread has to wait as long again
                    self.stop_waiting()
                    raise self._unreachable_error(reason, now - started) from error
                self._notify_unreachable(reason)
                if self._stopped.wait(wait):
                    time.sleep(FIRST_PAUSE_SECONDS)
                is_lost = reason in {INCOMPLETE, INTERRUPTED, BROKEN}
                pause = min(2 * pause, LONGEST_PAUSE_IF_LOST if is_lost else LONGEST_PAUSE_SECONDS)
            else:
                self._notify_reachable()
                return answer

    def _raise_if_refused(self, error: Exception) -> None:
        """Raise TrackingError if MLflow refused a call for a reason that the user can remove.

        The run or its experiment was deleted, or the SQLite file cannot be written.
        """
        message = _database_message(error)
        remedy = "restore it there" if DELETED in message else database_remedy(message)
        if remedy:
            raise TrackingError(
                f"MLflow at {self.address}: {message}; {remedy}, then run the same command again"
            ) from error

    def _unreachable_error(self, reason: str, seconds: float) -> TrackingError:
        waited = f" for {seconds / 60:.0f} min" if seconds >= 60 else ""  # noqa: PLR2004 # a minute
        return TrackingError(
            f"MLflow at {self.address}: {reason}{waited}; start it, then run the same command "
            "again to resume the study (FACTORGRID_PATIENCE sets how many minutes it waits)"
        )

    def _notify_unreachable(self, reason: str) -> None:
        now = time.monotonic()
        with self._lock:
            if self._unreachable_since is not None and (
                now - self._last_notice < 60 * NOTICE_MINUTES
            ):
                return
            since = self._unreachable_since = self._unreachable_since or now
            self._last_notice = now
        line = f"waiting for MLflow at {self.address}, up to {self.minutes:g} min: {reason}"
        minutes = (now - since) / 60
        self.notify(line + (f" ({minutes:.0f} min so far)" if minutes >= 1 else ""), line)

    def _notify_reachable(self) -> None:
        if self._unreachable_since is None:
            return
        with self._lock:
            since, self._unreachable_since = self._unreachable_since, None
        if since is not None:
            minutes, seconds = divmod(round(time.monotonic() - since), 60)
            self.notify(f"MLflow answers again, after {minutes}:{seconds:02d}", "")


def temporary_reason(error: BaseException) -> str | None:
    """Return why an error may be temporary, as text; None if repeating the call cannot help."""
    import requests
    from mlflow.exceptions import MlflowException

    if isinstance(error, RetryableError):
        return str(error)
    code = error.error_code if isinstance(error, MlflowException) else None
    if code in TEMPORARY_CODES:
        message = _database_message(error)
        # SQLite has no server that could be unreachable: only a lock of another writer is
        # temporary.
        is_permanent = "sqlite3." in message and "locked" not in message
        return None if is_permanent else f"it is not available ({message[:100]})"
    # MLflow keeps only the text of the cause, or replaces it by a guess ("You may not have access
    # to the logged model"); Python keeps the exception.
    cause = error if isinstance(error, requests.RequestException) else error.__context__
    if isinstance(cause, requests.RequestException):
        return _connection_reason(cause)
    if isinstance(cause, MlflowException) and (reason := temporary_reason(cause)):
        return reason
    # MLflow's download threads do not pass their errors on; a missing file has another code.
    was_interrupted = code == "INTERNAL_ERROR" and "occurred while downloading" in str(error)
    if was_interrupted:
        return INTERRUPTED
    # The second: of an answer that reports an error.
    is_incomplete = re.search("not in a valid JSON format|Response body: '{", str(error))
    return INCOMPLETE if is_incomplete else None


def database_remedy(message: str) -> str | None:
    """Return what to do about an error of SQLite; None if it is not one."""
    return next((remedy for sign, remedy in DATABASE_REMEDIES.items() if sign in message), None)


def _database_message(error: BaseException) -> str:
    """Return the first line of an error, without SQLAlchemy's remark on when it happened."""
    lines = str(error).strip().splitlines() or [""]
    is_remark = lines[0].startswith("(raised as a result of") and len(lines) > 1
    return lines[int(is_remark)].strip().rstrip(".")


def _connection_reason(error: "RequestException") -> str | None:
    from requests import exceptions

    match error:
        case exceptions.SSLError():
            return None
        case exceptions.Timeout():
            return NO_ANSWER
        case exceptions.RetryError():
            # MLflow treats 408, 429, 500, 502, 503 and 504 as temporary.
            status = re.search(r"too many (\d+) error", str(error))
            return f"it answers with error {status[1]}" if status else "it answers with errors"
        case exceptions.JSONDecodeError() | exceptions.ContentDecodingError():
            return INCOMPLETE
        case exceptions.ConnectionError() | exceptions.ChunkedEncodingError():
            # Without retries, the time-out of an answer is reported as a failed connection.
            signs = {"timed out": NO_ANSWER, "Connection refused": NO_SERVER}
            return next((signs[sign] for sign in signs if sign in str(error)), BROKEN)
    return None


class RetryingClient:
    """MLflow's client, but every method waits for an unreachable server and creates only once.

    Parameters
    ----------
    mlflow_client : MLflow's own, which tries each call once.
    retry_policy : how long to wait.
    """

    def __init__(self, mlflow_client: Any, retry_policy: RetryPolicy) -> None:
        self.mlflow_client, self.retry_policy = mlflow_client, retry_policy

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.mlflow_client, name)
        return lambda *given, **named: self.retry_policy.call(partial(method, *given, **named))

    def all_pages(self, method: str, *given: Any, **named: Any) -> list[Any]:
        """Return everything that one of MLflow's searches finds; each call returns one page."""
        found: list[Any] = []
        token = None
        while True:
            page = getattr(self, method)(*given, page_token=token, **named)
            found.extend(page)
            token = page.token
            if not token:
                return found

    def log_artifacts(self, run_id: str, local_dir: str, artifact_path: str | None = None) -> None:
        """Write all files of a folder as artifacts; a file that is interrupted is repeated."""
        for file, below in _files_with_place(Path(local_dir), artifact_path):
            self.log_artifact(run_id, file, below)

    def log_model_artifacts(self, model_id: str, local_dir: str) -> None:
        """Write all files of a folder as those of a logged model, as `log_artifacts` does.

        MLflow's own method writes all of them in one call. If one of ten requests is lost, a folder
        of fifty files would be tried a hundred times.
        """
        for file, below in _files_with_place(Path(local_dir)):
            self.log_model_artifact(model_id, file, below)

    def create_run(
        self,
        experiment_id: str,
        *,
        tags: dict[str, str] | None = None,
        run_name: str | None = None,
    ) -> Any:
        """Create a run, exactly once."""
        creation_id = uuid.uuid4().hex
        create = partial(
            self.mlflow_client.create_run,
            experiment_id,
            tags={**(tags or {}), CREATION_ID: creation_id},
            run_name=run_name,
            # The time of the call, so that runs keep their order however long the answer takes.
            start_time=_milliseconds_now(),
        )
        condition = f"tags.`{CREATION_ID}` = '{creation_id}'"

        def created_runs() -> list[Any]:
            return list(self.mlflow_client.search_runs([experiment_id], condition))

        created = self._create_once(create, created_runs)
        if self.retry_policy.address.startswith("http"):
            # A request that the network repeated has created another run.
            for other in self.retry_policy.call(created_runs):
                if other.info.run_id != created.info.run_id:
                    self.set_terminated(other.info.run_id, "KILLED")
                    self.delete_run(other.info.run_id)
        return created

    def set_terminated(self, run_id: str, status: str | None = None) -> None:
        """End a run, with the time of this call as its end."""
        end = partial(
            self.mlflow_client.set_terminated, run_id, status, end_time=_milliseconds_now()
        )
        self.retry_policy.call(end)

    def create_logged_model(
        self,
        experiment_id: str,
        name: str,
        source_run_id: str,
        tags: dict[str, str],
        params: dict[str, str],
    ) -> Any:
        """Create a logged model, exactly once."""
        creation_id = uuid.uuid4().hex
        create = partial(
            self.mlflow_client.create_logged_model,
            experiment_id,
            name=name,
            source_run_id=source_run_id,
            tags={**tags, CREATION_ID: creation_id},
            params=params,
        )
        condition = f"tags.`{CREATION_ID}` = '{creation_id}'"

        def created_models() -> list[Any]:
            return list(self.mlflow_client.search_logged_models([experiment_id], condition))

        return self._create_once(create, created_models)

    def create_model_version(
        self,
        name: str,
        source: str,
        run_id: str,
        *,
        tags: dict[str, str] | None = None,
        description: str | None = None,
        model_id: str | None = None,
    ) -> Any:
        """Create a version of a registered model, exactly once."""
        creation_id = uuid.uuid4().hex
        create = partial(
            self.mlflow_client.create_model_version,
            name,
            source,
            run_id,
            tags={**(tags or {}), CREATION_ID: creation_id},
            description=description,
            model_id=model_id,
        )

        def created_versions() -> list[Any]:
            versions = self.mlflow_client.search_model_versions(f"run_id = '{run_id}'")
            return [
                v for v in versions if v.name == name and v.tags.get(CREATION_ID) == creation_id
            ]

        created = self._create_once(create, created_versions)
        # A request that the network repeated has created another version of the same network.
        same = sorted(self.retry_policy.call(created_versions), key=lambda v: int(v.version))
        for other in same[1:]:
            self.delete_model_version(name, str(other.version))
        return same[0] if same else created

    def delete_model_version(self, name: str, version: str) -> None:
        """Delete a version of a registered model; another request may delete it at the same time.

        Raises
        ------
        MlflowException
            If it did not exist before.
        """
        self.get_model_version(name, version)
        self._delete(partial(self.mlflow_client.delete_model_version, name, version))

    def delete_tag(self, run_id: str, key: str) -> None:
        """Delete a tag of a run, if the run has it."""
        self._delete(partial(self.mlflow_client.delete_tag, run_id, key))

    def _delete(self, delete: Callable[[], None]) -> None:
        """Delete something that exists; if it is gone, an earlier request has deleted it."""
        from mlflow.exceptions import MlflowException

        def attempt() -> None:
            try:
                delete()
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise

        self.retry_policy.call(attempt)

    def log_outputs(self, run_id: str, models: Sequence[Any]) -> None:
        """Note the logged models that a run made; MLflow refuses to note one again."""

        def attempt() -> None:
            try:
                self.mlflow_client.log_outputs(run_id, models)
            except Exception:
                # An earlier request may have done it.
                noted = self.mlflow_client.get_run(run_id).outputs.model_outputs
                if not {model.model_id for model in models} <= {model.model_id for model in noted}:
                    raise

        self.retry_policy.call(attempt)

    def _create_once(self, create: Callable[[], Any], find: Callable[[], Any]) -> Any:
        """Create something; before each retry, look whether an earlier try created it."""
        tried = False

        def attempt() -> Any:
            nonlocal tried
            if tried and (found := find()):
                return found[0]
            tried = True
            return create()

        return self.retry_policy.call(attempt)


def _files_with_place(
    folder: Path, artifact_path: str | None = None
) -> Iterator[tuple[str, str | None]]:
    """Yield the files of a folder, and the folder of artifacts to which each belongs."""
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        place = PurePosixPath(artifact_path or ".", file.parent.relative_to(folder).as_posix())
        yield str(file), None if place == PurePosixPath(".") else str(place)


def check_server(mlflow_client: Any) -> None:
    """Call the server once, before anything depends on it.

    An answer that was lost on the way is requested again, a few times. A server that does not
    answer at all is not waited for: its address may be wrong.
    """
    for _ in range(FIRST_CALLS - 1):
        try:
            mlflow_client.search_experiments(max_results=1)
        except Exception as error:
            if temporary_reason(error) in {None, NO_SERVER, NO_ANSWER}:
                raise
            time.sleep(FIRST_PAUSE_SECONDS)
        else:
            return
    mlflow_client.search_experiments(max_results=1)


def limit_timeout(seconds: float) -> None:
    """Let MLflow wait for each answer for a short time, and for no longer than these seconds.

    A time that the user set in MLflow's own variable holds, unless it is longer than the limit.
    """
    usual = int(USERS_TIMEOUT) if USERS_TIMEOUT.isdecimal() else ANSWER_SECONDS
    os.environ[TIMEOUT] = str(max(1, min(usual, int(seconds))))


def _milliseconds_now() -> int:
    return int(dt.datetime.now(tz=dt.UTC).timestamp() * 1000)
