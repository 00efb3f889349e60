"""`factorgrid up`, `deploy` and `ui`: the servers and what they run."""

from pathlib import Path
from typing import Any

import click

from flows.commands.options import answer, as_json_option


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
    from tasks.environment import prepare_environment

    settings = prepare_environment()
    from tasks.service.up import ServiceOptions, run_service

    try:
        run_service(settings, ServiceOptions(**given))
    except KeyboardInterrupt:
        click.echo("factorgrid: all of it has ended; `factorgrid up` goes on from here", err=True)


@click.command()
@click.argument("study", required=False)
@click.option("--data", type=Path, help="A folder or zip of pictures; validated daily as well.")
@click.option("--cron", metavar="TEXT", help="When the study runs, UTC; by default Saturday 2:00.")
@as_json_option
def deploy(study: str | None, data: Path | None, cron: str | None, as_json: bool) -> None:  # noqa: FBT001 # a flag of the command line
    """Put the deployments of infra/prefect.yaml at the Prefect server, on their schedules.

    STUDY is a built-in study or a TOML file; without it, `quick`. The server is that of
    `factorgrid up`, or where PREFECT_API_URL says.
    """
    from tasks.environment import prepare_environment

    settings = prepare_environment()
    from tasks.data.source import url_of
    from tasks.service.deploy import DeploymentRequest, deployments_as_text
    from tasks.service.deploy import create_deployments as put
    from tasks.study.study_file import load_study

    source = data.absolute() if data and not url_of(data) else data
    checked = load_study(study or "quick", source=str(source) if source else None)
    wish = DeploymentRequest(checked if study or data else None, source, cron)
    done = put(settings, wish)
    answer(done, deployments_as_text(done), as_json=as_json)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to bind to.")
@click.option("--port", default=5000, show_default=True, help="The port to listen on.")
def ui(host: str, port: int) -> None:
    """Open MLflow's pages on the local database; Ctrl-C ends them."""
    from tasks.environment import prepare_environment
    from tasks.service.mlflow_ui import serve_mlflow_ui

    serve_mlflow_ui(prepare_environment(), host, port)
