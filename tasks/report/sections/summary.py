"""The head of the report: the answer in a few lines."""

import datetime as dt
from typing import Any

from analysis.factors import cell_name
from tasks.report.numbers import share
from tasks.report.sections.winner import test_words
from tasks.report.source import ReportSource
from tasks.tracking.artifact_paths import PICTURES


def head_section(source: ReportSource) -> dict[str, Any]:
    """Return the values of the template's `head` section."""
    execution, say = source.execution, source.say
    run = execution.tracker.client.get_run(execution.run_id)
    began = dt.datetime.fromtimestamp(run.info.start_time / 1000, tz=dt.UTC)
    return {
        "title": say("title", name=source.study.name),
        "description": source.study.description,
        "byline": say("byline", date=f"{began:%Y-%m-%d}", run=execution.run_id),
        "short": [*_short_winner(source), _short_active(source), *_short_tied(source)],
    }


def _short_winner(source: ReportSource) -> list[str]:
    cell = cell_name(source.outcome.selection.chosen)
    if source.outcome.registered is None:
        return [source.say("short_unfinished", cell=cell)]
    chance, test = _test_chance(source), source.outcome.registered.test
    warning = [source.say("short_chance", chance=share(chance))] if test.low <= chance else []
    return [source.say("short_winner", cell=cell, **test_words(source)), *warning]


def _test_chance(source: ReportSource) -> float:
    """Return the accuracy of the best constant answer on the test images; 0 where not known."""
    pictures = source.json(PICTURES)
    counts = pictures["counts"]["test"] if pictures else [0]
    return float(max(counts) / max(sum(counts), 1))


def _short_active(source: ReportSource) -> str:
    names = source.outcome.effects.overall_active
    return source.say("short_active", names=", ".join(names)) if names else source.say("short_none")


def _short_tied(source: ReportSource) -> list[str]:
    tied = len(source.outcome.selection.tied)
    return [source.say("short_tied", n=tied)] if tied > 1 else []
