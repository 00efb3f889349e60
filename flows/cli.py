"""The command `factorgrid`: every command that reports takes ``--json``.

With it exactly one JSON object goes to standard output, and everything else to standard error.
Nothing heavy is imported before a command needs it: ``--help`` answers at once.
"""

import atexit
import os
import signal
import sys
from importlib import import_module
from typing import Any

import click

from flows.commands.options import EXIT_ELSEWHERE, EXIT_INTERRUPTED, EXIT_USER


class Commands(click.Group):
    """Turns the user's errors into one line and exit status 2; bugs keep their traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:
            click.echo("factorgrid: interrupted; the same command goes on from here", err=True)
            sys.exit(EXIT_INTERRUPTED)
        except Exception as error:
            from tasks.errors import USER_ERRORS, HandedOverError

            if isinstance(error, HandedOverError):
                click.echo(f"factorgrid: {error}", err=True)
                sys.exit(EXIT_ELSEWHERE)
            if not isinstance(error, USER_ERRORS):
                raise
            click.echo(f"factorgrid: {' '.join(str(error).split())}", err=True)
            sys.exit(EXIT_USER)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="factorgrid", prog_name="factorgrid")
def main() -> None:
    """Tune convolutional networks by Design of Experiments.

    State lives in ./.factorgrid, or where FACTORGRID_HOME says; MLFLOW_TRACKING_URI and
    PREFECT_API_URL are honoured.
    """
    # A scheduler's or a system's stop ends a study as Ctrl-C does: MLflow is told.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # An interactive command says its errors itself, in one line; Prefect would print tracebacks.
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")


#: The module of each command; nothing heavy is imported there before the command runs.
COMMANDS = {
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


def command() -> None:
    """Run the command and end the process at once, with its exit status.

    What Python does last, freeing all that was imported, takes 2 to 3 s of the processor after a
    study. Threads and exit handlers have ended by then: this one, registered first, is called last.
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
    try:
        main()
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
        raise


if __name__ == "__main__":
    command()
