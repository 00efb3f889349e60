"""Loading a registered model with the code that is stored beside it.

A registered model brings a copy of the package `models` as it was when the model was registered;
its modules may have had other names. MLflow puts the copy on `sys.path`, but Python does not look
there for a package of a name that is imported already, as ours is in every command. So our modules
are taken out of `sys.modules` while the model is loaded and while it answers, and put back after.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

#: The package that is stored beside a registered model; see `tasks.registry.servable`.
PACKAGE = "models"


class StoredCode:
    """The modules of `models` that belong to one registered model."""

    def __init__(self) -> None:
        self._modules: dict[str, ModuleType] = {}
        self._path: list[str] | None = None

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Let ``import models`` mean the stored package while the block runs.

        This changes the whole process: do not use it while other threads import `models`.
        """
        own_modules, own_path = _remove_modules(), list(sys.path)
        sys.modules.update(self._modules)
        if self._path is not None:
            sys.path[:] = self._path
        try:
            yield
        finally:
            self._modules, self._path = _remove_modules(), list(sys.path)
            sys.modules.update(own_modules)
            sys.path[:] = own_path


def _remove_modules() -> dict[str, ModuleType]:
    """Remove `models` and its submodules from the imported modules, and return them."""
    names = [name for name in sys.modules if name.partition(".")[0] == PACKAGE]
    return {name: sys.modules.pop(name) for name in names}


class LoadedModel:
    """A registered model that answers with its own code."""

    def __init__(self, pyfunc: Any, code: StoredCode) -> None:
        self._pyfunc, self._code = pyfunc, code

    @property
    def python_model(self) -> Any:
        """The `Classifier` of `tasks.registry.served_model`, with its network and classes."""
        return self._pyfunc.unwrap_python_model()

    def predict(self, table: Any) -> Any:
        """Return the model's answers; see `tasks.registry.served_model.Classifier.predict`."""
        # The model imports some of its modules only when it answers.
        with self._code.in_use():
            return self._pyfunc.predict(table)


def load_with_stored_code(address: str) -> LoadedModel:
    """Load a model of MLflow's registry, for example ``models:/NAME/1``."""
    import mlflow

    code = StoredCode()
    with code.in_use():
        return LoadedModel(mlflow.pyfunc.load_model(address), code)
