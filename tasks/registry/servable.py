"""Writing a network as an MLflow model that can be registered and served."""

import base64
import importlib.metadata
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from models.images.drawn import draw_one


def save_servable(network: Path, about: Path, to: Path) -> None:
    """Write the folder that MLflow serves: network, preprocessing, signature and an example.

    Parameters
    ----------
    network : a file in Keras's native format.
    about : JSON with ``classes`` and ``image_size`` (pixels per side).
    to : the folder to write; it must not exist.
    """
    import mlflow.pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    import models
    from tasks.registry import served_model

    outputs = [("string", "label"), ("double", "probability"), ("string", "error")]
    signature = ModelSignature(
        Schema([ColSpec(DataType.string, "image")]),
        Schema([ColSpec(DataType[kind], name) for kind, name in outputs]),
    )
    mlflow.pyfunc.save_model(
        str(to),
        python_model=served_model.__file__,
        artifacts={"network": str(network), "about": str(about)},
        code_paths=[str(Path(models.__file__).parent)],
        signature=signature,
        input_example=_input_example(),
        # Without them MLflow infers the requirements, which takes 16 s instead of 0.15 s.
        pip_requirements=_pip_requirements(),
    )


def _input_example() -> pd.DataFrame:
    """Return an image as a client sends it: base64 text of PNG bytes."""
    _, data = cv2.imencode(".png", draw_one(0, 32, np.random.default_rng(1))[:, :, ::-1])
    return pd.DataFrame({"image": [base64.b64encode(data.tobytes()).decode()]})


def _pip_requirements() -> list[str]:
    names = (
        "mlflow",
        "tensorflow",
        "keras",
        "numpy",
        "opencv-python-headless",
        "simplejpeg",
        "pillow",
    )
    return [f"{name}=={importlib.metadata.version(name)}" for name in names]
