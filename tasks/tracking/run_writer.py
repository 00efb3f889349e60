"""Writing to MLflow runs: params, metrics and tags in batches, text, figures, folders, inputs.

No param, tag or text is written with a secret; see `tasks.redaction`.
"""

import datetime as dt
import getpass
import json
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from tasks.figures import save_figure
from tasks.redaction import redact

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tasks.tracking.retry import RetryingClient

#: The most that MLflow accepts in one call.
BATCH_SIZES = {"metrics": 1000, "params": 100, "tags": 100}


@dataclass(frozen=True)
class RunWriter:
    """Writes to runs of a server; every method is safe from any thread."""

    client: "RetryingClient"

    def log(
        self,
        run_id: str,
        *,
        params: Mapping[str, object] | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
        model_id: str | None = None,
    ) -> None:
        """Write params, metrics and tags immediately, in as few calls as MLflow allows.

        With a `model_id`, the metrics are those of a logged model, too. They have the step 0:
        MLflow draws a metric as a curve if it has a later step, and those of epochs are written by
        `log_metrics`.
        """
        from mlflow.entities import Param, RunTag

        self._log_batches(
            run_id,
            params=[Param(k, redact(str(v))) for k, v in (params or {}).items()],
            metrics=metric_rows(metrics or {}, 0, model_id),
            tags=[RunTag(k, redact(str(v))) for k, v in (tags or {}).items()],
        )

    def log_metrics(self, run_id: str, rows: Sequence[Any]) -> None:
        """Write metrics of any steps and times; see `metric_rows`."""
        self._log_batches(run_id, metrics=rows)

    def _log_batches(self, run_id: str, **rows: Sequence[Any]) -> None:
        while any(rows.values()):
            batch = {name: rows[name][: BATCH_SIZES[name]] for name in rows}
            self.client.log_batch(run_id, **batch)
            rows = {name: rows[name][BATCH_SIZES[name] :] for name in rows}

    def log_text(self, run_id: str, text: str, path: str) -> None:
        """Write a text artifact."""
        self.client.log_text(run_id, redact(text), path)

    def log_figures(self, run_id: str, figures: Mapping[str, "Figure | Image.Image"]) -> None:
        """Write figures as PNG artifacts, by path."""
        with tempfile.TemporaryDirectory() as folder:
            for path, figure in figures.items():
                file = Path(folder) / path
                file.parent.mkdir(parents=True, exist_ok=True)
                save_png(figure, file)
            self.log_folder(run_id, Path(folder))

    def log_folder(self, run_id: str, folder: Path, path: str | None = None) -> None:
        """Write all files of a folder as artifacts, below `path` if it is given."""
        self.client.log_artifacts(run_id, str(folder), path)

    def log_dataset(
        self, run_id: str, name: str, version: str, source: str, profile: Mapping[str, object]
    ) -> None:
        """Log a dataset version as the run's input.

        Parameters
        ----------
        name, version : of the dataset.
        source : where the images are from.
        profile : what MLflow's page shows about it.
        """
        from mlflow.entities import Dataset, DatasetInput, InputTag
        from mlflow.exceptions import MlflowException

        dataset = Dataset(
            name=name,
            digest=version[:36],  # MLflow's limit
            source_type="local",
            source=json.dumps({"uri": source}),
            profile=json.dumps(dict(profile)),
        )
        tag = InputTag("mlflow.data.context", "training")
        inputs = [DatasetInput(dataset, [tag])]
        try:
            self.client.log_inputs(run_id, inputs)
        except MlflowException:
            # MLflow inserts a new dataset without looking: if two runs are the first to name it,
            # one of the two calls fails, and only the first time.
            self.client.log_inputs(run_id, inputs)


def metric_rows(metrics: Mapping[str, float], step: int, model_id: str | None = None) -> list[Any]:
    """Return metrics as MLflow's entities, with the current time."""
    from mlflow.entities import Metric

    now = int(dt.datetime.now(tz=dt.UTC).timestamp() * 1000)
    return [
        Metric(name, float(value), now, step, model_id=model_id) for name, value in metrics.items()
    ]


def origin_tags(command: str = "factorgrid search") -> dict[str, str]:
    """Return the tags that MLflow's tables show as source and user."""
    origin = {"mlflow.source.name": command, "mlflow.source.type": "LOCAL"}
    # The user of a container may have no name.
    with suppress(KeyError, OSError):
        origin["mlflow.user"] = getpass.getuser()
    return origin


def save_png(figure: "Figure | Image.Image", file: Path) -> None:
    """Write a figure or an image as PNG: half the time of the default, a tenth more bytes."""
    if isinstance(figure, Image.Image):
        figure.save(file, compress_level=1)
    else:
        save_figure(figure, file, dpi=120, pil_kwargs={"compress_level": 1})


def as_json_text(value: object) -> str:
    """Return a decision, or other data made of dataclasses and arrays, as indented JSON text.

    Numbers that are not finite become null, which JSON does not have otherwise.
    """
    content = json.loads(json.dumps(value, default=_as_json_type), parse_constant=lambda _: None)
    return json.dumps(content, indent=2, ensure_ascii=False)


def _as_json_type(value: Any) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)
