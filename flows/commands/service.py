"""`factorgrid up`, `deploy` and `ui`: the servers and their deployments."""

from pathlib import Path
from typing import Any

import click

from flows.commands.completion import study_files
from flows.commands.options import as_json_option, host_option, print_result


@click.command()
@host_option
@click.option(
    "--mlflow-port", type=int, help="MLflow's port; by default 5000 or the next free one."
)
@click.option(
    "--prefect-port", type=int, help="Prefect's port; by default 4200 or the next free one."
)
@click.option(
    "--allowed-hosts",
    metavar="NAMES",
    help="Further names of this machine by which requests may call the servers, separated by "
    "commas: for example that of a proxy.",
)
@click.option(
    "--database",
    envvar="FACTORGRID_DATABASE",
    metavar="URL",
    help="A PostgreSQL server, postgresql://user:password@host:5432, instead of SQLite files. "
    "Prefer FACTORGRID_DATABASE: a command line can be read by other users.",
)
def up(**options: Any) -> None:
    """Start MLflow, Prefect and a worker on this machine; Ctrl-C ends all of them.

    All state is in FACTORGRID_HOME. The next `up` uses it again, and continues the studies that
    were interrupted. Prefect's pages ask for a password: the line in the file
    FACTORGRID_HOME/prefect-password, or the one in PREFECT_SERVER_API_AUTH_STRING.
    """
    from tasks.environment import prepare_environment

    settings = prepare_environment()
    from tasks.service.up import ServiceOptions, run_service

    try:
        run_service(settings, ServiceOptions(**options))
    except KeyboardInterrupt:
        click.echo(
            "factorgrid: all programs have ended; run `factorgrid up` again to continue", err=True
        )


@click.command()
@click.argument("study", required=False, shell_complete=study_files)
@click.option("--data", type=Path, help="A folder or zip of pictures; it is also validated daily.")
@click.option(
    "--cron", metavar="TEXT", help="When the study runs, in UTC; by default Saturday 2:00."
)
@as_json_option
def deploy(study: str | None, *, data: Path | None, cron: str | None, as_json: bool) -> None:
    """Create the deployments of a study at the Prefect server, with their schedules.

    STUDY is a built-in study or a TOML file; by default `quick`. Each study has its own
    deployments; the same study again changes them. The server is the one that
    `factorgrid up` runs, or the one that PREFECT_API_URL names.
    """
    from tasks.environment import prepare_environment

    settings = prepare_environment()
    from tasks.credentials import move_signature_to_environment
    from tasks.data.source import url_of
    from tasks.service.deploy import DeploymentRequest, create_deployments, deployments_as_text
    from tasks.study.study_file import load_study

    given = data and (str(data) if url_of(data) else str(data.absolute()))
    source = given and move_signature_to_environment(given)
    if source != given:
        click.echo(
            "factorgrid: the signature of the address is not stored; set FACTORGRID_SIGNED_URLS to "
            "the signed address where the worker runs",
            err=True,
        )
    checked = load_study(study or "quick", source=source)
    pictures = Path(source) if source else None
    request = DeploymentRequest(checked if study or data else None, pictures, cron)
    created = create_deployments(settings, request)
    print_result(created, deployments_as_text(created), as_json=as_json)


@click.command()
@host_option
@click.option("--port", default=5000, show_default=True, help="The port to listen on.")
def ui(host: str, port: int) -> None:
    """Serve MLflow's pages for the local database; Ctrl-C ends the server."""
    from tasks.environment import prepare_environment
    from tasks.service.mlflow_ui import serve_mlflow_ui

    serve_mlflow_ui(prepare_environment(), host, port)
