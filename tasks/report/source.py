"""What the sections of the HTML report read."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from tasks.languages import Translate
from tasks.report.outcome import Outcome
from tasks.report.render import data_url
from tasks.study.study_file import Study
from tasks.tracking.artifact_paths import PICTURES
from tasks.tracking.execution import Execution


@dataclass(frozen=True)
class ReportSource:
    """A study's findings, with access to the runs and artifacts behind them.

    Attributes
    ----------
    outcome : the findings.
    execution : the parent run, its runs and artifacts.
    translate : returns the texts in the language of the report.
    """

    outcome: Outcome
    execution: Execution
    translate: Translate

    @property
    def study(self) -> Study:
        """The study, as MLflow has it."""
        return self.execution.study

    @cached_property
    def runs(self) -> pd.DataFrame:
        """The runs of the study."""
        return self.execution.runs()

    @cached_property
    def pictures(self) -> dict[str, Any] | None:
        """What was logged about the images; None if the execution is older than that.

        ``classes``; ``counts``: for each side (training, validation, test) the images per class;
        ``test_labels``: class numbers of the test images.
        """
        content: dict[str, Any] | None = self.json(PICTURES)
        return content

    def json(self, path: str) -> Any:
        """Return a JSON artifact of the parent run; None if there is none."""
        return self.execution.tracker.read_json(self.execution.run_id, path)

    def image(self, run_id: str, path: str) -> str:
        """Return a PNG artifact as a data: URL; empty if there is none."""
        content = self.execution.tracker.read(run_id, path)
        return "" if content is None else data_url(content, "image/png")
