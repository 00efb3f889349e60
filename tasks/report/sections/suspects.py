"""Report section: pictures whose label may be wrong."""

from typing import Any

from tasks.report.source import ReportSource
from tasks.tracking.artifact_paths import CONTACT_SHEET, SUSPECTS


def suspects_section(source: ReportSource) -> dict[str, Any] | None:
    """Show the pictures that good cells get confidently wrong; None where nobody looked."""
    run_id = source.execution.run_id
    table = source.execution.tracker.read(run_id, SUSPECTS)
    if table is None:
        return None
    number = max(0, len(table.decode().splitlines()) - 1)
    if not number:
        return {"text": source.say("suspects_none"), "sheet": ""}
    text = source.say("suspects_text", n=f"{number:,}")
    return {"text": text, "sheet": source.picture(run_id, CONTACT_SHEET)}
