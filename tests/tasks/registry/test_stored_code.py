"""A registered model answers with its own copy of the package `models`, whatever is in it."""

import sys
from pathlib import Path

import mlflow.pyfunc
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

import models.errors
from tasks.registry.stored_code import LoadedModel, StoredCode, load_with_stored_code

#: A model of an older version: its modules have names that this version does not have.
MODEL = """
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel
from models.names import NAME


class Old(PythonModel):
    def load_context(self, context):
        from models.loading import LOADED

        self.loaded = LOADED

    def predict(self, context, model_input: pd.DataFrame, params=None):
        from models.answering import ANSWER

        return [f"{NAME}, {self.loaded}, {ANSWER}"] * len(model_input)


set_model(Old())
"""


def _load_model(folder: Path, name: str) -> LoadedModel:
    """Save a model with a package `models` of its own, and load it."""
    package = folder / name / "models"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    for module, constant in {"names": "NAME", "loading": "LOADED", "answering": "ANSWER"}.items():
        (package / f"{module}.py").write_text(f"{constant} = '{module} of {name}'\n")
    file, saved = folder / name / "model.py", folder / name / "saved"
    file.write_text(MODEL)
    with StoredCode().in_use():
        # MLflow runs the file once when it saves it.
        sys.path.insert(0, str(package.parent))
        mlflow.pyfunc.save_model(
            str(saved), python_model=str(file), code_paths=[str(package)], pip_requirements=[]
        )
    return load_with_stored_code(str(saved))


def test_each_model_answers_with_its_own_code(tmp_path: Path) -> None:
    first, second = _load_model(tmp_path, "first"), _load_model(tmp_path, "second")
    table = pd.DataFrame({"image": ["a", "b"]})
    for model, name in ((first, "first"), (second, "second"), (first, "first")):
        answer = f"names of {name}, loading of {name}, answering of {name}"
        assert model.predict(table) == [answer] * 2


def test_the_packages_of_this_process_are_the_same_afterwards(tmp_path: Path) -> None:
    path = list(sys.path)
    _load_model(tmp_path, "first").predict(pd.DataFrame({"image": ["a"]}))
    assert sys.modules["models.errors"] is models.errors
    assert "models.names" not in sys.modules
    assert sys.path == path


def test_they_are_the_same_after_a_model_that_cannot_be_loaded(tmp_path: Path) -> None:
    path = list(sys.path)
    with pytest.raises(MlflowException, match="no-such-model"):
        load_with_stored_code(str(tmp_path / "no-such-model"))
    assert sys.modules["models.errors"] is models.errors
    assert sys.path == path
