"""The head of the report: its title, and the answer in a few sentences."""

import datetime as dt
from typing import Any

from analysis.factors import cell_name
from tasks.report.nothing_learned import remedies_as_text, stopped_as_text
from tasks.report.registered import winner_in_short
from tasks.report.source import ReportSource
from tasks.wording.changes import changes_in_short
from tasks.wording.selection import nothing_learned_as_text
from tasks.wording.values import percent_fixed


def head_section(source: ReportSource) -> dict[str, Any]:
    """Return the head.

    Returns
    -------
    ``title``; ``description``: as in the study, may be empty; ``byline``: date and run;
    ``short``: the answer, a list of sentences; ``links``: texts and addresses of MLflow's pages;
    ``links_need``: how these are shown, if they are not shown always; may be empty.
    """
    execution, translate = source.execution, source.translate
    run = execution.tracker.client.get_run(execution.run_id)
    started = dt.datetime.fromtimestamp(run.info.start_time / 1000, tz=dt.UTC)
    return {
        "title": translate("title", name=source.study.name),
        "description": source.study.description,
        "byline": translate("byline", date=f"{started:%Y-%m-%d}", run=execution.run_id),
        "links": [
            (translate(f"link_{name}"), address)
            for name, address in source.outcome.links.as_json().items()
            if name != "report"
        ],
        "links_need": translate("links_need") if source.outcome.links.needs_ui else "",
        "short": [*_winner(source), *_active(source), *_tied(source)],
    }


def _winner(source: ReportSource) -> list[str]:
    translate, outcome = source.translate, source.outcome
    cell = cell_name(outcome.selection.chosen)
    if outcome.nothing_learned is not None:
        found = outcome.nothing_learned
        return [stopped_as_text(found, translate), *remedies_as_text(found, translate)]
    if outcome.registered is None:
        return [translate("short_unfinished", cell=cell)]
    test, constant = outcome.registered.test, outcome.registered.constant
    chance = _chance_on_test(source)
    sentences = []
    if outcome.selection.all_collapsed:
        sentences.append(nothing_learned_as_text(outcome.selection, translate))
    sentences += winner_in_short(outcome.selection, outcome.registered, outcome.final, translate)
    # A record of a version before 0.3 has no comparison with the constant answer.
    beaten = test.low > chance if constant is None else constant.network_is_better
    if not beaten:
        sentences.append(translate("short_chance", chance=percent_fixed(chance)))
    return sentences


def _chance_on_test(source: ReportSource) -> float:
    """Return the accuracy of the best constant answer on the test images; 0 if not known."""
    counts = source.pictures["counts"]["test"] if source.pictures else [0]
    return float(max(counts) / max(sum(counts), 1))


def _active(source: ReportSource) -> list[str]:
    """Return which factors matter in the screen, and around the chosen cell."""
    effects, translate = source.outcome.effects, source.translate
    around = changes_in_short(source.outcome.changes, translate)
    if effects is None:
        return around
    names = ", ".join(effects.overall_active)
    screen = translate("short_active", names=names) if names else translate("short_none")
    clear = any(change.is_clear for change in source.outcome.changes)
    return [screen, *(around if clear else [])]


def _tied(source: ReportSource) -> list[str]:
    tied = len(source.outcome.selection.tied)
    return [source.translate("short_tied", n=tied)] if tied > 1 else []
