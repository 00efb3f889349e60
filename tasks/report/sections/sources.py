"""Report section: the runs and files in MLflow from which the numbers of the report come."""

from typing import Any

from tasks.report.source import ReportSource
from tasks.tracking.artifact_paths import NEXT_MOVES, PICTURES, PREDICTIONS


def sources_section(source: ReportSource) -> dict[str, Any]:
    """Return where the numbers come from.

    Returns
    -------
    ``text``; ``rows``: each with ``what`` the numbers are, ``where`` they are in MLflow, and
    ``link``, the address of the page that shows it.
    """
    translate, links, runs = source.translate, source.outcome.links, source.runs
    screen = int(runs["stage"].eq("screen").sum())
    rows = [
        ("images", translate("source_file", file=PICTURES), links.run),
        ("effects", translate("source_screen", n=f"{screen:,}"), links.table),
        ("cells", translate("source_cells", n=f"{len(runs):,}"), links.table),
    ]
    if registered := source.outcome.registered:
        model = translate("source_model", name=registered.name, version=registered.version)
        rows += [
            ("accuracy", model, links.model(registered.name, registered.version)),
            ("answers", PREDICTIONS, links.of_run(registered.run_id)),
        ]
    rows.append(("next", translate("source_file", file=NEXT_MOVES), links.run))
    return {
        "text": translate("sources_text", run=source.execution.run_id)
        + (f" {translate('sources_need')}" if links.needs_ui else ""),
        "rows": [
            {"what": translate(f"source_of_{name}"), "where": where, "link": link}
            for name, where, link in rows
        ],
    }
