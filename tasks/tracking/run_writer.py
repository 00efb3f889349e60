"""Writing params, metrics and tags to MLflow in batches."""

import datetime as dt
import getpass
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure


#: The most that one call of MLflow takes.
BATCH = {"metrics": 1000, "params": 100, "tags": 100}


def metric_rows(metrics: Mapping[str, float], step: int) -> list[Any]:
    """Return metrics as MLflow takes them, as of now."""
    from mlflow.entities import Metric

    now = int(dt.datetime.now(tz=dt.UTC).timestamp() * 1000)
    return [Metric(name, float(value), now, step) for name, value in metrics.items()]


def origin_tags(command: str = "factorgrid search") -> dict[str, str]:
    """Return what MLflow's tables show as source and author."""
    origin = {"mlflow.source.name": command, "mlflow.source.type": "LOCAL"}
    # In a container the user may have no name.
    with suppress(KeyError, OSError):
        origin["mlflow.user"] = getpass.getuser()
    return origin


def save_png(figure: "Figure | Image.Image", file: Path) -> None:
    """Write a figure, or a picture, in twice the default's speed and a tenth larger."""
    if isinstance(figure, Image.Image):
        figure.save(file, compress_level=1)
    else:
        figure.savefig(file, dpi=120, pil_kwargs={"compress_level": 1})


def as_json_text(value: object) -> str:
    """Return a decision, or any data of ours, as JSON text that reads well."""
    return json.dumps(value, default=_plain_value, indent=2, ensure_ascii=False)


def _plain_value(value: Any) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)
