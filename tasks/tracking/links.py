"""The addresses of a study in MLflow's pages."""

from dataclasses import dataclass, replace
from urllib.parse import quote

from tasks.redaction import without_password
from tasks.tracking.tags import PARENT

#: Where `factorgrid ui` shows a local database.
LOCAL_PAGES = "http://127.0.0.1:5000"
#: The keys of the prepared views; see `tasks.tracking.views`.
TABLE, CHARTS = "factorgrid", "factorgrid-charts"


#: Without this parameter, MLflow shows the pages for language models around a run.
MODE = "workflowType=machine_learning"


@dataclass(frozen=True)
class StudyLinks:
    """The addresses at which MLflow's pages show one execution of a study.

    Attributes
    ----------
    pages : the address of MLflow's pages; empty for links between these pages, which are the same
        under every address.
    experiment, run_id : of the study's parent run.
    needs_ui : whether the pages are shown only while `factorgrid ui` runs.
    prepared : whether the experiment's views show this execution. Otherwise, as for an execution
        before the newest one, the links have the filter, and MLflow chooses columns and charts.
    """

    pages: str
    experiment: str
    run_id: str
    needs_ui: bool = False
    prepared: bool = True

    @property
    def table(self) -> str:
        """The runs of the study, the best first, with their levels and figures."""
        return self._view(TABLE)

    @property
    def charts(self) -> str:
        """The charts of the study's runs."""
        return f"{self._view(CHARTS)}&compareRunsMode=CHART"

    @property
    def run(self) -> str:
        """The parent run: the winner, the figures, what to do next, and all artifacts."""
        return self.of_run(self.run_id)

    def of_run(self, run_id: str) -> str:
        """Return the address of a run of the study."""
        return f"{self._runs}/{run_id}?{MODE}"

    def model(self, name: str, version: str) -> str:
        """Return the address of a version of a registered model."""
        path = f"{quote(name, safe='')}/versions/{version}"
        return f"{self.pages}/#/models/{path}".removeprefix("/")

    @property
    def report(self) -> str:
        """The report, among the artifacts of the parent run."""
        return f"{self._runs}/{self.run_id}/artifacts/report.html?{MODE}"

    @property
    def within_pages(self) -> "StudyLinks":
        """The same links between MLflow's own pages."""
        return replace(self, pages="")

    def as_markdown(self) -> str:
        """Return the links to the study's run, views and report, on one line."""
        names = {"Which cell won": self.table, "Charts": self.charts, "Report": self.report}
        links = {**names, "Study": self.run}
        return " \N{MIDDLE DOT} ".join(f"[{name}]({link})" for name, link in links.items())

    def as_json(self) -> dict[str, str]:
        """Return the addresses by name."""
        return {name: getattr(self, name) for name in ("table", "charts", "run", "report")}

    @property
    def _runs(self) -> str:
        return f"{self.pages}/#/experiments/{self.experiment}/runs".removeprefix("/")

    def _view(self, key: str) -> str:
        if self.prepared:
            return f"{self._runs}?{MODE}&viewStateShareKey={key}"
        return f"{self._runs}?{MODE}&searchFilter={quote(replicates_of(self.run_id))}"


def replicates_of(run_id: str) -> str:
    """Return MLflow's filter for the replicates of an execution.

    A run that another process repeated has the status KILLED.
    """
    return f"tags.`{PARENT}` = '{run_id}' and attributes.status != 'KILLED'"


def links_of(
    tracking_uri: str, experiment: str, run_id: str, *, prepared: bool = True
) -> StudyLinks:
    """Return the addresses of a study.

    Parameters
    ----------
    tracking_uri : MLflow's server; for a local database, the pages are those of `factorgrid ui`.
    experiment, run_id : of the parent run.
    prepared : see `StudyLinks`.
    """
    local = not tracking_uri.startswith("http")
    pages = LOCAL_PAGES if local else without_password(tracking_uri.rstrip("/"))
    return StudyLinks(pages, experiment, run_id, local, prepared)
