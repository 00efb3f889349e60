"""The events of runs and artifacts that Prefect's client sends in the background."""

import logging
import sys

from tasks.logs import log_event

#: Seconds for the events that a server has not taken when the command ends. There are such events
#: only if the server was started again shortly before.
SECONDS = 20.0
#: Who reports an event that could not be sent, with all that it contains, and a connection that
#: broke.
WORKER = "EventsWorker"
REPORTERS = ("prefect._internal.concurrency", WORKER, "websockets.client")


class NotSent(logging.Filter):
    """Replaces the reports of events that could not be sent by one line in the log.

    Nothing depends on these events but the time line on Prefect's pages. Prefect prints each with
    its whole content, a thousand characters or more, after the result of the command.
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_logged = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Let the reports of other services pass."""
        if record.name == REPORTERS[0] and WORKER not in record.getMessage()[:100]:
            return True
        if not self.is_logged:
            self.is_logged = True
            log_event("Prefect's server did not receive some events; its time line lacks them")
        return False


#: One for all of them, so that there is one line.
NOT_SENT = NotSent()


def shorten_reports() -> None:
    """Report events that could not be sent by one line."""
    # A filter: Prefect resets the levels of its loggers when a flow begins.
    for name in REPORTERS:
        logging.getLogger(name).addFilter(NOT_SENT)


def deliver_events(seconds: float = SECONDS) -> None:
    """Wait until the server has all events; call it before a server is stopped.

    Without it, Prefect waits for events when the process exits, 7 s for each that the server did
    not take, because the server is gone.

    Parameters
    ----------
    seconds : at most this long.
    """
    if "prefect.events.worker" not in sys.modules:
        return
    from prefect.events.worker import EventsWorker

    EventsWorker.drain_all(timeout=seconds, at_exit=False)
