"""The registered model as MLflow loads it: images in, label and probability out.

MLflow stores this file itself (a model from code, no pickle) with `models/` beside it, so that a
served image is decoded by the same code that decoded the images for training.
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

#: Images that go through the network at once: memory for more would not make them faster.
PART = 64


class Classifier(PythonModel):  # type: ignore[misc] # MLflow ships no types
    """Classifies images, given as base64 text of JPEG or PNG bytes in a column ``image``."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the network from Keras's native format in safe mode: no code in the file is run."""
        from models.training.backend import load_keras

        keras = load_keras()
        about = json.loads(Path(context.artifacts["about"]).read_text(encoding="utf-8"))
        self.classes: list[str] = about["classes"]
        self.image_size: int = about["image_size"]
        self.network = keras.saving.load_model(
            context.artifacts["network"], compile=False, safe_mode=True
        )

    # With a type hint other than a table or an array, MLflow itself would reject a bad image;
    # without a hint it prints a warning that no filter stops. An array is accepted as well.
    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 # MLflow passes it
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002 # MLflow passes it
    ) -> list[dict[str, Any]]:
        """Classify each image; one that cannot be decoded has an ``error`` and fails no other.

        Parameters
        ----------
        model_input : a table with a column ``image`` (base64 text, or bytes), or an array
            uint8 (B, H, W, 3).

        Returns
        -------
        For each image ``label`` (text), ``probability`` (0 to 1) of that label, and ``error``
        (empty if there is none).
        """
        decoded = [self._decode(image) for image in _images(model_input)]
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

    def _decode(self, image: Any) -> "np.ndarray[Any, Any] | str":
        """Return an image as uint8 (size, size, 3), or why it cannot be decoded."""
        from models.errors import ModelsError
        from models.images.decoding import decode, resize

        try:
            if isinstance(image, np.ndarray):
                if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:  # noqa: PLR2004 # (H, W, 3)
                    return "not an array of uint8 (height, width, 3)"
                return resize(image, self.image_size)
            data = image if isinstance(image, bytes) else base64.b64decode(image, validate=True)
            return decode(data, self.image_size)
        except binascii.Error:
            return "not base64 text of the bytes of an image"
        except (ModelsError, ValueError, TypeError) as error:
            return str(error)

    def _probability(self, batch: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        """Return the class probabilities of images uint8 (B, H, W, 3): (B, classes)."""
        from models.training.result import probability

        # `predict` builds a pipeline of data for every call: 60 ms for one image, instead of 1.
        parts = np.split(batch, range(PART, len(batch), PART))
        logits = [np.asarray(self.network.predict_on_batch(part)) for part in parts]
        return probability(np.concatenate(logits))


def _images(model_input: Any) -> list[Any]:
    """Return the images of a table's column, of an array or of a list."""
    if hasattr(model_input, "columns"):
        return list(model_input["image"])
    return list(model_input)


set_model(Classifier())
