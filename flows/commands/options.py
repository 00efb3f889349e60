"""What several commands share: options, exit statuses, and how a result is printed."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from tasks.languages import LANGUAGES

#: Exit statuses besides 0. Click itself uses 2 for wrong options.
EXIT_USER_ERROR = 2
EXIT_HANDED_OVER = 3
EXIT_INTERRUPTED = 130

Command = TypeVar("Command", bound=Callable[..., Any])

as_json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print exactly one JSON object to standard output."
)
host_option = click.option(
    "--host", default="127.0.0.1", show_default=True, help="The address to bind to."
)


def language_option(about: str) -> Callable[[Command], Command]:
    """Return the option for the language of a page."""
    return click.option(
        "--lang", type=click.Choice(LANGUAGES), default="en", show_default=True, help=about
    )


def study_data_options(command: Command) -> Command:
    """Add the options that select the pictures of a study."""
    options = (
        click.option(
            "--data", type=Path, help="A folder or zip of pictures, instead of the study's."
        ),
        click.option("--per-class", type=int, help="How many pictures of each class to use."),
        click.option("--image-size", type=int, help="Width and height in pixels."),
    )
    # The last one that is applied is shown first.
    for option in reversed(options):
        command = option(command)
    return command


def setting_options(command: Command) -> Command:
    """Add the options that replace keys of a study's file."""
    options = (
        click.option(
            "--set",
            "replaced",
            multiple=True,
            metavar="KEY=VALUE",
            help="Another value of a key of the study's file, as in training.epochs=3; may be "
            "repeated.",
        ),
        click.option("--name", help="Another name of the study, and so another experiment."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def budget_options(command: Command) -> Command:
    """Add the options that say how much a study may train."""
    options = (
        click.option(
            "--budget",
            type=int,
            metavar="N",
            help="Trainings of the whole search, instead of the study's procedure.",
        ),
        click.option(
            "--minutes",
            type=float,
            metavar="M",
            help="Minutes of training of the whole search, instead of the study's procedure.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def is_terminal() -> bool:
    """Whether a person reads standard output in a terminal."""
    return sys.stdout.isatty()


@contextmanager
def terminal_text() -> Iterator[None]:
    """Fit text to the width of the terminal while the block runs, if there is one."""
    from tasks.wording.terminal import text_width

    with text_width(shutil.get_terminal_size().columns if is_terminal() else None):
        yield


def print_result(content: dict[str, Any], text: str, *, as_json: bool) -> None:
    """Print the result of a command: the content as one JSON object, or the text.

    Names of files and classes may contain anything; what is printed changes nothing but the lines
    of its own.
    """
    from tasks.escaping import as_json_text, map_texts, printable_lines
    from tasks.redaction import redact

    if as_json:
        click.echo(as_json_text(map_texts(content, redact), allow_nan=False))
    else:
        safe = printable_lines(redact(text))
        if is_terminal() and "NO_COLOR" not in os.environ:
            from tasks.progress import emphasized

            safe = emphasized(safe)
        click.echo(safe)
