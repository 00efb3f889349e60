"""Events that Prefect's client sends in the background: waited for, and reported by one line."""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import nullcontext

import pytest
from prefect.events import Event, Resource
from prefect.events.clients import EventsClient
from prefect.events.worker import EventsWorker

from tasks.service import prefect_events
from tasks.service.prefect_events import NOT_SENT, REPORTERS, deliver_events, shorten_reports

SENT: list[Event] = []


class SlowClient(EventsClient):
    """Takes a second for each event."""

    async def _emit(self, event: Event) -> None:
        await asyncio.sleep(1)
        SENT.append(event)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[EventsWorker]:
    SENT.clear()
    # Otherwise the worker first starts a server of its own, which may take longer than the wait.
    monkeypatch.setattr("prefect.client.orchestration.get_client", nullcontext)
    EventsWorker.set_client_override(SlowClient)
    yield EventsWorker.instance()
    EventsWorker.set_client_override(None)


def _event() -> Event:
    return Event(event="own", resource=Resource({"prefect.resource.id": "own"}))


def test_all_events_are_delivered(worker: EventsWorker) -> None:
    worker.send(_event())
    worker.send(_event())
    deliver_events()
    assert len(SENT) == 2


def test_it_waits_for_a_limited_time(worker: EventsWorker) -> None:
    for _ in range(4):
        worker.send(_event())
    started = time.monotonic()
    deliver_events(0.1)
    assert time.monotonic() - started < 3  # seconds; all of them take four
    worker.wait_until_empty()


def test_reports_of_events_are_one_line_in_the_log_and_others_pass(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten_reports()
    monkeypatch.setattr(NOT_SENT, "is_logged", False)
    lines: list[str] = []
    monkeypatch.setattr(prefect_events, "log_event", lines.append)
    services, events, sockets = map(logging.getLogger, REPORTERS)
    services.error("Service %r failed to process item %r", "EventsWorker", _event())
    services.error("Service %r failed to process item %r", "EventsWorker", _event())
    events.warning("Still processing items: 3 items remaining...")
    sockets.error("keepalive ping failed")
    services.error("Service %r failed with %s pending items.", "APILogWorker", 3)
    texts = [record.getMessage() for record in caplog.records]
    assert "Service 'APILogWorker' failed with 3 pending items." in texts
    assert not any("own" in text for text in texts)
    (line,) = lines
    assert line.startswith("Prefect's server did not receive some events")
