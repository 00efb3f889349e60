"""Importing a user's own builder: from the file that was checked, and from no other.

The builder's folder may contain files with the names of other modules. It is on the path only while
the builder is imported or called, and behind all that is installed, so that such a file hides
nothing.
"""

import hashlib
import importlib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from models.errors import BuilderError
from models.spec import ModelSpec

#: Digits of the digest of a builder's file.
DIGITS = 16

#: Module -> the module that was imported from a checked file, its folder, and its file's digest.
_imported: dict[str, tuple[ModuleType, Path, str]] = {}


def source_digest(source: bytes) -> str:
    """Return the digest of a builder's file, which is part of a replicate's key."""
    return hashlib.sha256(source).hexdigest()[:DIGITS]


def builder_file(folder: Path, module: str) -> Path:
    """Return the one file of a module in a folder.

    Raises
    ------
    BuilderError
        If there is none or more than one, or if the module would hide another.
    """
    place = folder.joinpath(*module.split("."))
    files = [
        file
        for file in (place.with_name(f"{place.name}.py"), place / "__init__.py")
        if file.is_file()
    ]
    if not files:
        raise BuilderError(
            f"no {place.name}.py in {place.parent}; put it there, or correct the name "
            "(module:function)"
        )
    if len(files) > 1:
        raise BuilderError(
            f"both {files[0]} and {files[1]} are the module {module}; rename one of them"
        )
    top = module.partition(".")[0]
    if _is_taken(top, folder):
        raise BuilderError(f"the name {top} is taken by another module; rename the file")
    return files[0].resolve()


def _is_taken(top: str, folder: Path) -> bool:
    """Whether a module of this name can be imported without the builder's folder."""
    if top in sys.builtin_module_names or top in sys.stdlib_module_names:
        return True
    own = (folder / f"{top}.py", folder / top / "__init__.py", folder / top)
    try:
        found = importlib.util.find_spec(top)
    except ValueError:  # a module that was not imported in the usual way
        return True
    if found is None:
        return False
    places = [found.origin] if found.origin else [*(found.submodule_search_locations or [])]
    return not {Path(place).resolve() for place in places} <= {file.resolve() for file in own}


def import_builder(folder: Path, model: ModelSpec) -> None:
    """Import the module of a user's own builder; `call_builder` then finds it.

    The bytes whose digest is compared are the bytes that are compiled: no file of bytecode is used,
    and a file that is changed meanwhile is not either.

    Parameters
    ----------
    folder : the folder of the study's network.
    model : its builder, and the digest of its file.

    Raises
    ------
    BuilderError
        If the file is missing, ambiguous or not the one that was checked, or if it fails.
    """
    module = model.builder.partition(":")[0]
    try:
        file = builder_file(folder, module)
        source = file.read_bytes()
        check_source(model, source, file)
        with _on_path(folder):
            imported = _import_source(module, file, source)
        _imported[module] = (imported, folder, source_digest(source))
    except Exception as error:
        text = str(error) if isinstance(error, BuilderError) else f"{type(error).__name__}: {error}"
        first = (text.splitlines() or [""])[0]
        raise BuilderError(f"builder {model.builder}: {first}") from error


def call_builder(model: ModelSpec, **arguments: Any) -> Any:
    """Return what a user's own builder returns; its folder is on the path while it is called.

    A builder that `import_builder` did not import is imported from the folder on the path that has
    it, as on a machine that trains without FactorGrid's flows.

    Raises
    ------
    BuilderError
        As `import_builder` does. What the builder itself raises is passed on.
    """
    name, _, function = model.builder.partition(":")
    module, folder, digest = _imported.get(name, (None, Path(), ""))
    if module is None or sys.modules.get(name) is not module or model.source not in ("", digest):
        import_builder(_folder_on_path(name), model)
        module, folder, _ = _imported[name]
    builder: Callable[..., Any] = getattr(module, function)
    with _on_path(folder):
        return builder(**arguments)


def _folder_on_path(module: str) -> Path:
    """Return the first folder on the path that has a module; the current one if none has it."""
    for entry in sys.path:
        place = Path(entry, *module.split("."))
        if place.with_name(f"{place.name}.py").is_file() or (place / "__init__.py").is_file():
            return Path(entry).absolute()
    return Path.cwd()


def check_source(model: ModelSpec, source: bytes, file: Path) -> None:
    """Raise BuilderError unless a file has the digest that the spec names."""
    if model.source and source_digest(source) != model.source:
        raise BuilderError(
            f"{file} is not the file of the study: its content differs; run the study again, or "
            "copy the study's file there"
        )


@contextmanager
def _on_path(folder: Path) -> Iterator[None]:
    """Let modules of a folder be imported, behind all others, while the block runs."""
    entry = str(folder)
    sys.path.append(entry)
    try:
        yield
    finally:
        del sys.path[len(sys.path) - 1 - sys.path[::-1].index(entry)]


class _Checked(importlib.machinery.SourceFileLoader):
    """Compiles bytes that were read before."""

    def __init__(self, name: str, path: str, source: bytes) -> None:
        super().__init__(name, path)
        self._source = source

    def get_code(self, fullname: str) -> object:  # type: ignore[override] # code objects have no public type
        return self.source_to_code(self._source, self.get_filename(fullname))


def _import_source(name: str, file: Path, source: bytes) -> ModuleType:
    parent, _, own = name.rpartition(".")
    if parent:
        importlib.import_module(parent)
    is_package = file.name == "__init__.py"
    spec = importlib.util.spec_from_file_location(
        name,
        file,
        loader=_Checked(name, str(file), source),
        submodule_search_locations=[str(file.parent)] if is_package else None,
    )
    if spec is None or spec.loader is None:
        raise BuilderError(f"{file} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    if parent:
        setattr(sys.modules[parent], own, module)
    return module
