"""What a report is made of."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.languages import Translate
from tasks.report.render import data_url
from tasks.study.study_file import Study
from tasks.tracking.execution import Execution

if TYPE_CHECKING:
    from tasks.report.outcome import Outcome


@dataclass(frozen=True)
class ReportSource:
    """What a page is made of: the findings, the runs, and the artifacts behind them."""

    outcome: "Outcome"
    execution: Execution
    say: Translate

    @property
    def study(self) -> Study:
        """What was asked."""
        return self.execution.study

    def json(self, path: str) -> Any:
        """Return a JSON artifact of the parent run, or None."""
        return self.execution.tracker.read_json(self.execution.run_id, path)

    def picture(self, run_id: str, path: str) -> str:
        """Return a PNG artifact as a data: address; empty where there is none."""
        content = self.execution.tracker.read(run_id, path)
        return "" if content is None else data_url(content, "image/png")
