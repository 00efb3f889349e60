"""Completion of names in a shell: studies, experiments and models."""

from collections.abc import Callable, Iterable
from importlib import resources

import click
from click.shell_completion import CompletionItem

from tasks.tracking.known_names import known_names

#: What click asks for the names that begin as a word does.
Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _of(names: Callable[[], Iterable[str]]) -> Complete:
    def complete(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem]:
        return [CompletionItem(name) for name in names() if name.startswith(begun)]

    return complete


#: Studies, experiments and registered models in the home's MLflow.
past_studies = _of(lambda: known_names("studies"))
experiments = _of(lambda: known_names("experiments"))
registered_models = _of(lambda: known_names("models"))


def study_files(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem]:
    """Return the built-in studies, and let the shell complete the names of files."""
    names = sorted(
        file.name.removesuffix(".toml")
        for file in (resources.files("flows") / "studies").iterdir()
        if file.name.endswith(".toml")
    )
    # The files come first: bash forgets what stands before them.
    files = CompletionItem(begun, type="file")
    return [files, *(CompletionItem(name) for name in names if name.startswith(begun))]
