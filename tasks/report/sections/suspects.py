"""Report section: images whose label may be wrong."""

from typing import Any

from tasks.report.source import ReportSource
from tasks.tracking.artifact_paths import CONTACT_SHEET, SUSPECTS


def suspects_section(source: ReportSource) -> dict[str, Any] | None:
    """Return the images that good cells get confidently wrong; None if nothing was searched.

    Returns
    -------
    ``text``; ``sheet``: the contact sheet as a data: URL, may be empty.
    """
    run_id = source.execution.run_id
    table = source.execution.tracker.read(run_id, SUSPECTS)
    if table is None:
        return None
    number = max(0, len(table.decode().splitlines()) - 1)
    if not number:
        return {"text": source.translate("suspects_none"), "sheet": ""}
    text = source.translate("suspects_text", n=f"{number:,}")
    return {"text": text, "sheet": source.image(run_id, CONTACT_SHEET)}
