"""`factorgrid cache`, `doctor` and `prune`: maintenance of a home."""

import sys

import click

from flows.commands.options import EXIT_USER_ERROR, as_json_option, print_result


@click.command()
@click.option("--clear", is_flag=True, help="Delete every cache that no running study uses.")
@as_json_option
def cache(*, clear: bool, as_json: bool) -> None:
    """List the caches of decoded pictures, and delete them with --clear."""
    from tasks.maintenance.cache import caches_as_json, caches_as_text, clear_caches, list_caches
    from tasks.settings import read_settings

    settings = read_settings()
    caches = list_caches(settings.cache, settings.unpacked)
    removed = clear_caches(caches) if clear else []
    print_result(caches_as_json(caches, removed), caches_as_text(caches, removed), as_json=as_json)


@click.command()
@as_json_option
def doctor(*, as_json: bool) -> None:
    """Check this installation, and report what is wrong and how to correct it.

    The exit status is 2 if a check fails.
    """
    from tasks.environment import prepare_environment

    settings = prepare_environment()
    from tasks.maintenance.doctor import all_well, examine, findings_as_json, findings_as_text

    findings = examine(settings)
    print_result(findings_as_json(findings), findings_as_text(findings), as_json=as_json)
    sys.exit(0 if all_well(findings) else EXIT_USER_ERROR)


@click.command()
@click.option("--experiment", metavar="NAME", help="Only this study; by default all studies.")
@click.option(
    "--keep", type=int, default=3, show_default=True, help="How many executions per study to keep."
)
@click.option("--yes", is_flag=True, help="Delete what is listed.")
@as_json_option
def prune(experiment: str | None, keep: int, *, yes: bool, as_json: bool) -> None:
    """List old executions and validations, and delete them with --yes.

    Runs that a registered model was made from are never deleted, nor runs that a kept execution
    reused from an older one. To delete decoded pictures, use `factorgrid cache --clear`.
    """
    from tasks.environment import prepare_environment

    settings = prepare_environment()
    from tasks.maintenance.prune import delete_runs, plan_pruning, pruning_as_json, pruning_as_text
    from tasks.tracking.tracker import Tracker

    tracker = Tracker.open(settings, create=False)
    plan = plan_pruning(tracker, keep=keep, experiment=experiment)
    deleted = delete_runs(tracker, plan) if yes else 0
    print_result(pruning_as_json(plan, deleted), pruning_as_text(plan, deleted), as_json=as_json)
