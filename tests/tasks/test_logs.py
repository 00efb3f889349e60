"""The log of events."""

import io
import json
import logging

from tasks.logs import LOGGER, FlowRunId, JsonLines, log_event


def test_an_event_is_one_line_of_json_with_its_ids_and_the_flow_run() -> None:
    stream = io.StringIO()
    handler, flow_run = logging.StreamHandler(stream), FlowRunId(lambda: "f")
    handler.setFormatter(JsonLines())
    level = LOGGER.level
    LOGGER.addHandler(handler)
    LOGGER.addFilter(flow_run)
    LOGGER.setLevel(logging.INFO)
    try:
        log_event("finished", run_id="r", stage=None)
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.removeFilter(flow_run)
        LOGGER.setLevel(level)
    (line,) = stream.getvalue().splitlines()
    content = json.loads(line)
    del content["time"]
    assert content == {
        "level": "INFO",
        "message": "finished (run_id=r)",
        "run_id": "r",
        "flow_run_id": "f",
    }
