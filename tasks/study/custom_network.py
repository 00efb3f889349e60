"""The user's own networks: their code is found and checked before anything is trained.

A builder is code. Here it is only read as text; it is imported only in the process that trains. In
a deployment it may only come from the folders that the operator allows in ``FACTORGRID_BUILDERS``.
"""

import ast
import os
from pathlib import Path

from models.errors import BuilderError
from models.networks.build_network import BUILT_IN, GIVEN
from models.networks.user_builder import builder_file, source_digest
from models.spec import PRETRAINED_BUILDER
from tasks.errors import StudyError
from tasks.study.backbone import with_backbone
from tasks.study.hyperparameters import TrainingPart
from tasks.study.study_file import Study

#: Packages that every training process has loaded: a file of such a name would not be imported.
LOADED_PACKAGES = frozenset(
    {"models", "tasks", "flows", "analysis", "keras", "tensorflow", "jax", "numpy"}
)


def with_builder(study: Study, *, deployed: bool = False) -> Study:
    """Return the study with the folder and the digest of its builder's file.

    The digest is part of every replicate's key, so that changed code is trained again.

    Parameters
    ----------
    study : its builder is searched for in ``model.builder_folder``, by default the current folder.
    deployed : whether the study came from the parameters of a deployment, not from a terminal.

    Raises
    ------
    StudyError
        If the file is missing or not allowed, if it has no such function, or if the function does
        not take the settings of the study.
    """
    if study.model.builder == PRETRAINED_BUILDER:
        return with_backbone(study)
    if study.model.builder in BUILT_IN:
        return study
    folder = (study.model.builder_folder or Path.cwd()).resolve()
    file = _file(study, folder)
    _check_allowed(study, folder, file, deployed=deployed)
    source = file.read_bytes()
    _check_function(study, file, source)
    changes = {"builder_folder": folder, "builder_source": source_digest(source)}
    return study.model_copy(update={"model": study.model.model_copy(update=changes)})


def source_of(study: Study) -> tuple[str, str] | None:
    """Return the name and the text of the builder's file; None for a built-in network."""
    folder = study.model.builder_folder
    if study.model.builder in BUILT_IN or folder is None:
        return None
    file = _file(study, folder)
    return file.name, file.read_text(encoding="utf-8", errors="replace")


def _file(study: Study, folder: Path) -> Path:
    module, _, _ = study.model.builder.partition(":")
    if module.split(".")[0] in LOADED_PACKAGES:
        raise StudyError(
            f"model.builder {study.model.builder}: the name {module} is taken; rename the file"
        )
    try:
        return builder_file(folder, module)
    except BuilderError as error:
        raise StudyError(f"model.builder {study.model.builder}: {error}") from None


def _check_allowed(study: Study, folder: Path, file: Path, *, deployed: bool) -> None:
    """Refuse a file, or a folder from which it may import others, that is not allowed."""
    named = os.environ.get("FACTORGRID_BUILDERS", "")
    folders = [Path(text).expanduser().resolve() for text in named.split(os.pathsep) if text]
    if any(file.is_relative_to(f) and folder.is_relative_to(f) for f in folders):
        return
    if folders or deployed:
        allowed = ", ".join(map(str, folders)) or "none"
        raise StudyError(
            f"model.builder {study.model.builder}: {file} is not in an allowed folder "
            f"({allowed}); the operator lists them in FACTORGRID_BUILDERS"
        )


def _check_function(study: Study, file: Path, source: bytes) -> None:
    _, _, name = study.model.builder.partition(":")
    try:
        tree = ast.parse(source, str(file))
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        where = f"{file}, line {line}" if line else str(file)
        raise StudyError(f"model.builder {study.model.builder}: {where}: {error}") from None
    functions = [x for x in tree.body if isinstance(x, ast.FunctionDef) and x.name == name]
    if not functions:
        there = [x.name for x in tree.body if isinstance(x, ast.FunctionDef)]
        raise StudyError(
            f"model.builder {study.model.builder}: no function {name} in {file}; it has: "
            f"{', '.join(there) or 'no function'}"
        )
    _check_arguments(study, file, functions[-1].args)


def _check_arguments(study: Study, file: Path, given: ast.arguments) -> None:
    known = {argument.arg for argument in (*given.args, *given.kwonlyargs)}
    training = set(TrainingPart.model_fields)
    wanted = GIVEN | set(study.model.settings) | (set(study.factors) - training)
    unknown = sorted(wanted - known)
    if unknown and given.kwarg is None:
        raise StudyError(
            f"model.builder {study.model.builder} in {file} takes no {', '.join(unknown)}; it "
            f"takes {', '.join(sorted(known)) or 'nothing'} (every builder needs image_size and "
            "classes)"
        )
