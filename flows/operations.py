"""The commands of an operator: `up`, `deploy`, `doctor`, `prune`."""

import json
import sys
from pathlib import Path
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


@click.command()
@click.argument("study", required=False)
@click.option("--data", type=Path, help="A folder or zip of pictures; validated daily as well.")
@click.option("--cron", metavar="TEXT", help="When the study runs, UTC; by default Saturday 2:00.")
@click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object.")
def deploy(study: str | None, data: Path | None, cron: str | None, as_json: bool) -> None:  # noqa: FBT001 # a flag of the command line
    """Put the deployments of infra/prefect.yaml at the Prefect server, on their schedules.

    STUDY is a built-in study or a TOML file; without it, `quick`. The server is that of
    `factorgrid up`, or where PREFECT_API_URL says.
    """
    from tasks.settings import prepare_environment

    settings = prepare_environment()
    from tasks.deploy import Wish, in_words
    from tasks.deploy import deploy as put
    from tasks.objects import address_of
    from tasks.study import load_study

    source = data.absolute() if data and not address_of(data) else data
    checked = load_study(study or "quick", source=str(source) if source else None)
    wish = Wish(checked if study or data else None, source, cron)
    done = put(settings, wish)
    click.echo(json.dumps(done) if as_json else in_words(done))


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object.")
def doctor(as_json: bool) -> None:  # noqa: FBT001 # a flag of the command line
    """Say what is wrong with this set-up, and the remedy; exit status 2 where something fails."""
    from tasks.settings import prepare_environment

    settings = prepare_environment()
    from tasks.doctor import examine, in_words, is_well, to_json

    findings = examine(settings)
    click.echo(json.dumps(to_json(findings)) if as_json else in_words(findings))
    sys.exit(0 if is_well(findings) else 2)


@click.command()
@click.option("--experiment", metavar="NAME", help="Only this study; all of them without it.")
@click.option("--keep", type=int, default=3, show_default=True, help="Executions of each to keep.")
@click.option("--yes", is_flag=True, help="Delete what is listed.")
@click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object.")
def prune(experiment: str | None, keep: int, *, yes: bool, as_json: bool) -> None:
    """List old executions and validations, and delete them on --yes.

    What a registered model stands on is never deleted, nor what a kept study took from an older
    one. Decoded pictures are another matter: `factorgrid cache --clear`.
    """
    from tasks.settings import prepare_environment

    settings = prepare_environment()
    from tasks.prune import carry_out, in_words, plan_pruning, to_json
    from tasks.tracking import Tracker

    tracker = Tracker.open(settings, create=False)
    plan = plan_pruning(tracker, keep=keep, experiment=experiment)
    deleted = carry_out(tracker, plan) if yes else 0
    click.echo(json.dumps(to_json(plan, deleted)) if as_json else in_words(plan, deleted))
