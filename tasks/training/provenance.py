"""What only the machine that trains can show of an execution: its pictures and its versions.

It is logged when the execution begins, so that its report needs nothing but MLflow.
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

#: What decides how a network trains, or what is said of it.
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
    """Log samples of the pictures, how they are split, the test labels, and the versions in use."""
    # Whoever reads the names above needs no plots.
    from tasks.training import replicate_figures

    run_id = execution.run_id
    execution.log_figures(run_id, {SAMPLES: replicate_figures.samples(arrays)})
    execution.log_text(run_id, json.dumps(_pictures(arrays)), PICTURES)
    execution.log_text(run_id, json.dumps(_versions(), indent=2), VERSIONS)


def _pictures(arrays: ImageArrays) -> dict[str, Any]:
    counts = {
        side: np.bincount(arrays.labels[arrays.side(side)], minlength=len(arrays.classes)).tolist()
        for side in SIDES
    }
    # The truth of the test side lets two registered models be compared without the pictures.
    return {
        "classes": list(arrays.classes),
        "image_size": arrays.image_size,
        "counts": counts,
        "test_labels": arrays.labels[arrays.side("test")].tolist(),
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "system": platform.platform(terse=True)}
    return found | {name: importlib.metadata.version(name) for name in LIBRARIES}
