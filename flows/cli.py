"""The command line `factorgrid`.

A command with the option ``--json`` prints exactly one JSON object to standard output; everything
else goes to standard error. No heavy library is imported before a command needs it, so that
``--help`` answers at once.
"""

import sys

if __name__ == "__main__":
    # ``python -m flows.cli`` puts the current folder first on the path, where any file may have the
    # name of a module that is imported below.
    if not sys.flags.safe_path:
        del sys.path[0]
    import factorgrid

    factorgrid.main()

import atexit
import os
import signal
import traceback
from importlib import import_module
from types import TracebackType
from typing import Any

import click

from flows.commands.options import EXIT_HANDED_OVER, EXIT_INTERRUPTED, EXIT_USER_ERROR


class Commands(click.Group):
    """Prints errors that the user can correct as one line; other errors keep their traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, and end the process with its exit status if it fails."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:
            click.echo("factorgrid: interrupted; run the same command again to continue", err=True)
            sys.exit(EXIT_INTERRUPTED)
        except Exception as error:
            from tasks.errors import USER_ERRORS, HandedOverError, file_fault
            from tasks.escaping import as_line
            from tasks.redaction import redact

            if isinstance(error, HandedOverError):
                click.echo(f"factorgrid: {as_line(redact(str(error)))}", err=True)
                sys.exit(EXIT_HANDED_OVER)
            message = str(error) if isinstance(error, USER_ERRORS) else file_fault(error)
            if message is None:
                raise
            click.echo(f"factorgrid: {as_line(redact(message))}", err=True)
            sys.exit(EXIT_USER_ERROR)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="factorgrid", prog_name="factorgrid")
def main() -> None:
    """Tune convolutional networks by Design of Experiments.

    All state is in ./.factorgrid, or in the folder that FACTORGRID_HOME names. The servers that
    MLFLOW_TRACKING_URI and PREFECT_API_URL name are used.
    """
    # SIGTERM, by which a scheduler or the system stops a process, ends a study as Ctrl-C does: its
    # runs in MLflow are marked as KILLED.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # The command prints an error as one line; Prefect would print its traceback too.
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")


#: The module of each command. These modules must not import anything heavy at the top.
COMMANDS = {
    "plan": "flows.commands.plan",
    "search": "flows.commands.search",
    "validate": "flows.commands.validate",
    "analyze": "flows.commands.analyze",
    "design": "flows.commands.design",
    "report": "flows.commands.report",
    "compare": "flows.commands.compare",
    "promote": "flows.commands.models",
    "predict": "flows.commands.models",
    "cache": "flows.commands.maintenance",
    "ui": "flows.commands.service",
    "up": "flows.commands.service",
    "deploy": "flows.commands.service",
    "doctor": "flows.commands.maintenance",
    "prune": "flows.commands.maintenance",
}
for name, module in COMMANDS.items():
    main.add_command(getattr(import_module(module), name))


def print_traceback(
    kind: type[BaseException], error: BaseException, where: TracebackType | None
) -> None:
    """Print a traceback without secrets: libraries put addresses in their errors."""
    from tasks.redaction import redact

    sys.stderr.write(redact("".join(traceback.format_exception(kind, error, where))))


def command() -> None:
    """Run the command and end the process at once, with its exit status.

    After a study Python takes 2 to 3 s to free all that was imported, which this avoids. Threads
    and other exit handlers have ended by then: this handler is registered first, so called last.
    """
    status = 1

    def leave() -> None:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except OSError:
            os._exit(status or 1)
        os._exit(status)

    atexit.register(leave)
    sys.excepthook = print_traceback
    try:
        main()
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
        raise
