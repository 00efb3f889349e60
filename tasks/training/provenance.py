"""Facts about an execution that only the machine with the images can log: samples and versions.

They are logged when the execution starts, so that its report needs only MLflow.
"""

import importlib.metadata
import json
import platform
from typing import Any

import numpy as np

from models.images.arrays import ImageArrays
from models.images.split import SIDES
from tasks.tracking.artifact_paths import PICTURES, SAMPLES, VERSIONS
from tasks.tracking.execution import Execution
from tasks.training import replicate_figures

#: The libraries that influence how a network trains, or how its results are analysed.
LIBRARIES = (
    "factorgrid",
    "tensorflow",
    "keras",
    "numpy",
    "opencv-python-headless",
    "simplejpeg",
    "pandas",
    "statsmodels",
    "mlflow",
    "prefect",
)


def log_provenance(execution: Execution, arrays: ImageArrays) -> None:
    """Log samples of the images, the split, its labels, and the versions of the libraries."""
    run_id = execution.run_id
    execution.writer.log_figures(run_id, {SAMPLES: replicate_figures.samples(arrays)})
    execution.writer.log_text(run_id, json.dumps(_split_summary(arrays)), PICTURES)
    execution.writer.log_text(run_id, json.dumps(_versions(), indent=2), VERSIONS)


def _split_summary(arrays: ImageArrays) -> dict[str, Any]:
    counts = {
        side: np.bincount(arrays.labels[arrays.side(side)], minlength=len(arrays.classes)).tolist()
        for side in SIDES
    }
    # With the labels, two registered models can be compared without the images, and the effects be
    # judged for other images.
    return {
        "classes": list(arrays.classes),
        "image_size": arrays.image_size,
        "counts": counts,
        "test_labels": arrays.labels[arrays.side("test")].tolist(),
        "validation_labels": arrays.labels[arrays.side("validation")].tolist(),
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "system": platform.platform(terse=True)}
    return found | {name: importlib.metadata.version(name) for name in LIBRARIES}
