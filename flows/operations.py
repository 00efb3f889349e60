"""The commands of an operator: `up`, `deploy`, `doctor`, `prune`."""

from typing import Any

import click


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to bind to.")
@click.option("--mlflow-port", type=int, help="MLflow's; by default 5000 or the next free one.")
@click.option("--prefect-port", type=int, help="Prefect's; by default 4200 or the next free one.")
@click.option(
    "--database",
    envvar="FACTORGRID_DATABASE",
    metavar="URL",
    help="A PostgreSQL server, postgresql://user:password@host:5432, instead of SQLite files. "
    "Better in FACTORGRID_DATABASE, where no list of processes shows it.",
)
def up(**given: Any) -> None:
    """Start MLflow, Prefect and a worker on this machine; Ctrl-C ends all of them.

    State stays in FACTORGRID_HOME: the next `up` goes on with it, and with the studies that the
    last one left unfinished.
    """
    from tasks.settings import prepare_environment

    settings = prepare_environment()
    from tasks.up import Asked, serve

    try:
        serve(settings, Asked(**given))
    except KeyboardInterrupt:
        click.echo("factorgrid: all of it has ended; `factorgrid up` goes on from here", err=True)
