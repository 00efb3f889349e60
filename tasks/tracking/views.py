"""Prepared views of a study's runs, which MLflow's pages open by a link.

A view is an experiment tag, in the form in which MLflow's own pages store a saved view: a JSON
object with a name, its times, and the state of the table and of the charts as JSON text. The names
in the state are those of MLflow's front end (3.17: ``ExperimentPageUIState``,
``RunsChartsCardConfig``); a field that another version does not know has no effect.
"""

import json
from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from tasks.escaping import own_markdown, printable
from tasks.redaction import redact
from tasks.study.study_file import Study
from tasks.tracking.links import CHARTS, TABLE, StudyLinks, replicates_of
from tasks.tracking.tags import CELL, LAST_STUDY, PREFIX, VERDICT

if TYPE_CHECKING:
    from tasks.tracking.tracker import Tracker

#: An experiment tag with this prefix and the key of a view has its state.
SHARED_VIEW = "mlflow.sharedViewState."
#: An experiment tag: what MLflow shows as the experiment's description.
NOTE = "mlflow.note.content"
SECONDS, COST = "train_seconds", "multiply_adds"
#: The length of a training; the name of the param has the prefix unless it is a factor.
EPOCHS = "epochs"
#: Studies whose links are printed where MLflow's pages start.
MOST_STUDIES = 3


def prepare_views(
    tracker: "Tracker", experiment: str, run_id: str, study: Study, leading: Sequence[str] = ()
) -> None:
    """Write the views of a study to its experiment, with a description; the last study's stay.

    Parameters
    ----------
    experiment, run_id : of the parent run, whose replicates the views show.
    leading : the factors with the largest effects, the largest first; the first two numeric ones
        are the axes of a contour chart. By default the first factors.
    """
    tags = {
        **view_tags(run_id, study, leading),
        NOTE: experiment_note(study),
        LAST_STUDY: run_id,
        PREFIX + "factors": ", ".join(study.factors),
        PREFIX + "response": study.response,
    }
    for name, value in tags.items():
        tracker.client.set_experiment_tag(experiment, name, redact(value))


def newest_studies_as_text(tracker: "Tracker", pages: str) -> list[str]:
    """Return a line per study with the link to its runs, the study that was run last first.

    Parameters
    ----------
    tracker : the server with the studies.
    pages : the address of MLflow's pages.
    """
    found = [e for e in tracker.experiments() if LAST_STUDY in e.tags]
    found.sort(key=lambda e: e.last_update_time or 0, reverse=True)
    return [
        f"{printable(e.name)}: {StudyLinks(pages, e.experiment_id, e.tags[LAST_STUDY]).table}"
        for e in found[:MOST_STUDIES]
    ]


def experiment_note(study: Study) -> str:
    """Return the description of a study's experiment as Markdown."""
    description = own_markdown(study.description)
    best = "lowest" if study.measured.lower else "highest"
    about = (
        f"A study by FactorGrid. Saved views: *Which cell won* lists the runs of the newest "
        f"execution with their levels, the {best} {study.response} first; *Charts* draws them. "
        "Each run named *study* has the winner, the figures and the report of one execution."
    )
    return "\n\n".join(filter(None, [description, about]))


def view_tags(run_id: str, study: Study, leading: Sequence[str] = ()) -> dict[str, str]:
    """Return the experiment tags of both views."""
    state = table_state(run_id, study)
    charts = {**state, **_charts_state(study, leading)}
    return {
        f"{SHARED_VIEW}{TABLE}": _saved_view("Which cell won", state),
        f"{SHARED_VIEW}{CHARTS}": _saved_view("Charts", charts),
    }


def _saved_view(name: str, state: dict[str, Any]) -> str:
    # MLflow requires the times; equal studies must have equal tags, so it is the epoch.
    return json.dumps({"name": name, "createdAt": 0, "updatedAt": 0, "state": json.dumps(state)})


def table_state(run_id: str, study: Study) -> dict[str, Any]:
    """Return the state of the table: the runs of one execution, the best first.

    Columns: the response, verdict, seconds; the factors, stage and epochs.
    """
    columns = [
        f"metrics.`{study.response}`",
        *([f"metrics.`{study.second}`"] if study.second else []),
        f"metrics.`{SECONDS}`",
        *(f"params.`{name}`" for name in study.factors),
        "params.`stage`",
        *([] if EPOCHS in study.factors else [f"params.`training.{EPOCHS}`"]),
        f"tags.`{VERDICT}`",
    ]
    return {
        "searchFilter": replicates_of(run_id),
        "orderByKey": f"metrics.`{study.response}`",
        "orderByAsc": study.measured.lower,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "selectedColumns": columns,
        "columnOrder": columns,
        "runsHiddenMode": "SHOW_ALL",
        "groupBy": None,
    }


def _charts_state(study: Study, leading: Sequence[str]) -> dict[str, Any]:
    """Return the state of the charts: the runs, the learning curves by cell, cost, a contour."""
    section, response = "factorgrid-study", study.response
    charts: list[dict[str, Any]] = [
        {
            "type": "PARALLEL",
            "displayName": f"Levels and {study.measured.title}",
            "selectedParams": list(study.factors),
            "selectedMetrics": [response],
            "showAllRuns": True,
        },
        {
            "type": "LINE",
            "displayName": "Learning curves",
            "metricKey": response,
            "selectedMetricKeys": [response],
            "xAxisKey": "step",
            "useGlobalXaxisKey": True,
            "useGlobalLineSmoothing": True,
        },
        {
            "type": "SCATTER",
            "displayName": f"{response} and {study.second or 'multiply-adds for one image'}",
            "xaxis": {"key": study.second or COST, "type": "METRIC"},
            "yaxis": {"key": response, "type": "METRIC"},
        },
    ]
    numeric = {factor.name for factor in study.factor_list if factor.scale != "categorical"}
    ordered = [name for name in dict.fromkeys([*leading, *study.factors]) if name in numeric]
    for first, second in list(combinations(ordered, 2))[:1]:
        charts.append(
            {
                "type": "CONTOUR",
                "displayName": f"{response} by {first} and {second}",
                "xaxis": {"key": first, "type": "PARAM"},
                "yaxis": {"key": second, "type": "PARAM"},
                "zaxis": {"key": response, "type": "METRIC"},
            }
        )
    fixed = {"runsCountToCompare": 100, "metricSectionId": section, "deleted": False}
    return {
        "compareRunCharts": [
            {"uuid": f"factorgrid-chart-{number}", **fixed, "isGenerated": False, **chart}
            for number, chart in enumerate(charts, 1)
        ],
        "compareRunSections": [
            _section(section, "Study", shown=True),
            # MLflow adds a chart of every other metric to these two.
            _section("factorgrid-model", "Model metrics", shown=False),
            _section("factorgrid-system", "System metrics", shown=False),
        ],
        "isAccordionReordered": True,
        "runListHidden": False,
        "hideEmptyCharts": True,
        # The runs of one cell are one curve: their mean, with the spread around it.
        "groupBy": {
            "aggregateFunction": "average",
            "groupByKeys": [{"mode": "tag", "groupByData": CELL}],
        },
        "useGroupedValuesInCharts": True,
    }


def _section(uuid: str, name: str, *, shown: bool) -> dict[str, Any]:
    return {
        "uuid": uuid,
        "name": name,
        "display": shown,
        "isReordered": True,
        "deleted": False,
        "isGenerated": False,
    }
