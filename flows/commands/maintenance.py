"""`factorgrid cache`, `doctor` and `prune`: the upkeep of a home."""

import sys

import click

from flows.commands.options import EXIT_USER, answer, as_json_option


@click.command()
@click.option("--clear", is_flag=True, help="Remove what no study has open.")
@as_json_option
def cache(clear: bool, as_json: bool) -> None:  # noqa: FBT001 # flags of the command line
    """Show the cache of decoded pictures, and clear it."""
    from tasks.maintenance.cache import caches_as_json, caches_as_text, clear_caches, list_caches
    from tasks.settings import read_settings

    settings = read_settings()
    found = list_caches(settings.cache, settings.unpacked)
    removed = clear_caches(found) if clear else []
    answer(caches_as_json(found, removed), caches_as_text(found, removed), as_json=as_json)


@click.command()
@as_json_option
def doctor(as_json: bool) -> None:  # noqa: FBT001 # a flag of the command line
    """Say what is wrong with this set-up, and the remedy; exit status 2 where something fails."""
    from tasks.environment import prepare_environment

    settings = prepare_environment()
    from tasks.maintenance.doctor import all_well, examine, findings_as_json, findings_as_text

    findings = examine(settings)
    answer(findings_as_json(findings), findings_as_text(findings), as_json=as_json)
    sys.exit(0 if all_well(findings) else EXIT_USER)


@click.command()
@click.option("--experiment", metavar="NAME", help="Only this study; all of them without it.")
@click.option("--keep", type=int, default=3, show_default=True, help="Executions of each to keep.")
@click.option("--yes", is_flag=True, help="Delete what is listed.")
@as_json_option
def prune(experiment: str | None, keep: int, *, yes: bool, as_json: bool) -> None:
    """List old executions and validations, and delete them on --yes.

    What a registered model stands on is never deleted, nor what a kept study took from an older
    one. Decoded pictures are another matter: `factorgrid cache --clear`.
    """
    from tasks.environment import prepare_environment

    settings = prepare_environment()
    from tasks.maintenance.prune import delete_runs, plan_pruning, pruning_as_json, pruning_as_text
    from tasks.tracking.tracker import Tracker

    tracker = Tracker.open(settings, create=False)
    plan = plan_pruning(tracker, keep=keep, experiment=experiment)
    deleted = delete_runs(tracker, plan) if yes else 0
    answer(pruning_as_json(plan, deleted), pruning_as_text(plan, deleted), as_json=as_json)
