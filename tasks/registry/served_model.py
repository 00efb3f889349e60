"""The registered model, as MLflow loads it: pictures in, label and probability out.

MLflow stores this file itself (a model from code, no pickle) with `models/` beside it, so that a
served picture is decoded by the very code that decoded it for training.
"""

import base64
import binascii
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext


class Classifier(PythonModel):  # type: ignore[misc] # MLflow ships no types
    """Answers pictures, given as base64 text of JPEG or PNG bytes, in a column ``image``."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the network in Keras's native format, in its safe mode: no code in the file runs."""
        from models.training.backend import load_keras

        keras = load_keras()
        about = json.loads(Path(context.artifacts["about"]).read_text(encoding="utf-8"))
        self.classes: list[str] = about["classes"]
        self.image_size: int = about["image_size"]
        self.network = keras.saving.load_model(
            context.artifacts["network"], compile=False, safe_mode=True
        )

    # Any hint but a table's or an array's would make MLflow, not us, answer for a bad picture; none
    # makes it print a warning that no filter stops. An array is taken as well.
    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 # MLflow calls it so
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002 # likewise
    ) -> list[dict[str, Any]]:
        """Answer each picture; a bad one has its own ``error`` and fails no other.

        Parameters
        ----------
        model_input : a table with a column ``image`` (base64 text, or bytes), or an array
            uint8 (B, H, W, 3).

        Returns
        -------
        For each picture ``label`` (text), ``probability`` (0 to 1) of that label, and ``error``
        (empty where there is none).
        """
        given = _pictures(model_input)
        decoded = [self._decode(picture) for picture in given]
        good = [index for index, image in enumerate(decoded) if isinstance(image, np.ndarray)]
        answers: list[dict[str, Any]] = [
            {
                "label": "",
                "probability": 0.0,
                "error": "" if isinstance(image, np.ndarray) else image,
            }
            for image in decoded
        ]
        if good:
            batch = np.stack([np.asarray(decoded[index]) for index in good])
            for index, row in zip(good, self._probability(batch), strict=True):
                best = int(row.argmax())
                answers[index] |= {"label": self.classes[best], "probability": float(row[best])}
        return answers

    def _decode(self, picture: Any) -> "np.ndarray[Any, Any] | str":
        from models.errors import ModelsError
        from models.images.decoding import decode, resize

        try:
            if isinstance(picture, np.ndarray):
                return resize(picture, self.image_size)
            data = (
                picture if isinstance(picture, bytes) else base64.b64decode(picture, validate=True)
            )
            return decode(data, self.image_size)
        except binascii.Error:
            return "not base64 text of a picture's bytes"
        except (ModelsError, ValueError, TypeError) as error:
            return str(error)

    def _probability(self, batch: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        logits = np.asarray(self.network.predict(batch, verbose=0), dtype=np.float64)
        exponent = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(exponent / exponent.sum(axis=1, keepdims=True))


def _pictures(model_input: Any) -> list[Any]:
    """Return the pictures of a table's column, an array or a list, one each."""
    if hasattr(model_input, "columns"):
        return list(model_input["image"])
    return list(model_input)


set_model(Classifier())
