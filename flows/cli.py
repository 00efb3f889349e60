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

#: The end of `--help`.
EXIT_STATUSES = (
    "Exit status: 0 for success, 2 for an error that you can correct (one line says how), 3 if "
    "jobs were written for another machine, 130 if interrupted."
)


class Commands(click.Group):
    """Prints errors that the user can correct as one line; other errors keep their traceback.

    With ``--json``, standard output has one JSON object in every case: with the error, if there is
    one.
    """

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the commands in groups, with the first sentence of each."""
        for title, names in GROUPS.items():
            commands = [(name, self.get_command(ctx, name)) for name in names]
            rows = [(name, _first_sentence(found)) for name, found in commands if found]
            with formatter.section(title):
                formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, and end the process with its exit status if it fails."""
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            _print_json_error(error.format_message(), error.exit_code)
            raise
        except (click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:
            _print_json_error("interrupted", EXIT_INTERRUPTED)
            click.echo("factorgrid: interrupted; run the same command again to continue", err=True)
            sys.exit(EXIT_INTERRUPTED)
        except Exception as error:
            from tasks.errors import USER_ERRORS, HandedOverError, file_fault
            from tasks.escaping import as_line
            from tasks.redaction import redact

            if isinstance(error, HandedOverError):
                _print_json_error(str(error), EXIT_HANDED_OVER)
                click.echo(f"factorgrid: {as_line(redact(str(error)))}", err=True)
                sys.exit(EXIT_HANDED_OVER)
            message = str(error) if isinstance(error, USER_ERRORS) else file_fault(error)
            if message is None:
                _print_json_error(f"{type(error).__name__}: {error}", 1)
                raise
            _print_json_error(message, EXIT_USER_ERROR)
            click.echo(f"factorgrid: {as_line(redact(message))}", err=True)
            sys.exit(EXIT_USER_ERROR)


def _first_sentence(command: click.Command) -> str:
    text = " ".join((command.help or "").split("\n\n")[0].split())
    return text.partition(". ")[0].removesuffix(".")


def _print_json_error(message: str, status: int) -> None:
    """Print an error as the JSON object of a command with ``--json``."""
    if "--json" in sys.argv[1:]:
        from tasks.escaping import as_json_text, as_line
        from tasks.redaction import redact

        click.echo(as_json_text({"error": as_line(redact(message)), "exit_status": status}))


@click.group(
    cls=Commands, epilog=EXIT_STATUSES, context_settings={"help_option_names": ["-h", "--help"]}
)
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
    "convert": "flows.commands.models",
    "cache": "flows.commands.maintenance",
    "ui": "flows.commands.service",
    "up": "flows.commands.service",
    "deploy": "flows.commands.service",
    "doctor": "flows.commands.maintenance",
    "prune": "flows.commands.maintenance",
    "init": "flows.commands.studies",
    "list": "flows.commands.studies",
    "show": "flows.commands.studies",
    "export": "flows.commands.studies",
    "delete": "flows.commands.studies",
    "schema": "flows.commands.studies",
}
#: The groups in which `--help` shows the commands.
GROUPS = {
    "Run a study": ("init", "plan", "search", "validate"),
    "See results": ("list", "show", "analyze", "report", "export", "ui"),
    "Models": ("promote", "predict", "convert"),
    "Other experiments": ("design", "compare"),
    "Service": ("up", "deploy"),
    "Maintenance": ("doctor", "cache", "prune", "delete", "schema"),
}
for name, module in COMMANDS.items():
    # `list` is the name of a type.
    found = import_module(module)
    main.add_command(getattr(found, name, None) or getattr(found, f"{name}_command"))


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
