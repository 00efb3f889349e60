"""`factorgrid list`, `show`, `export`, `delete`, `init` and `schema`: studies and their files."""

from pathlib import Path

import click

from flows.commands.completion import past_studies
from flows.commands.options import as_json_option, print_result, terminal_text
from tasks.languages import counted

run_option = click.option(
    "--run", metavar="ID", help="The run of one execution; by default the newest."
)


@click.command("list")
@as_json_option
def list_command(*, as_json: bool) -> None:
    """List the studies in MLflow, each with its newest execution and its winner."""
    from tasks.environment import prepare_environment

    settings = prepare_environment()
    from tasks.report.studies import list_studies, studies_as_json, studies_as_text
    from tasks.tracking.tracker import Tracker

    studies = list_studies(Tracker.open(settings, create=False))
    with terminal_text():
        text = studies_as_text(studies)
    print_result(studies_as_json(studies), text, as_json=as_json)


@click.command()
@click.argument("study", shell_complete=past_studies)
@run_option
@as_json_option
def show(study: str, run: str | None, *, as_json: bool) -> None:
    """Print the result of a study again, from MLflow.

    STUDY is its name, as `factorgrid list` shows it.
    """
    from tasks.environment import prepare_environment

    settings = prepare_environment()
    from tasks.report.as_json import outcome_as_json
    from tasks.report.outcome import outcome_of
    from tasks.report.studies import find_execution
    from tasks.report.text import outcome_as_text
    from tasks.tracking.tracker import Tracker

    tracker = Tracker.open(settings, create=False)
    outcome = outcome_of(find_execution(tracker, study, run))
    with terminal_text():
        text = outcome_as_text(outcome)
    print_result(outcome_as_json(outcome), text, as_json=as_json)


@click.command()
@click.argument("study", shell_complete=past_studies)
@run_option
@click.option(
    "--out",
    type=Path,
    metavar="FOLDER",
    help="Where the files are written; by default a folder of the study's name.",
)
@as_json_option
def export(study: str, run: str | None, out: Path | None, *, as_json: bool) -> None:
    """Write the runs and cells of a study as CSV files, and the study as a TOML file."""
    from tasks.environment import prepare_environment

    settings = prepare_environment()
    from tasks.report.studies import export_study, find_execution
    from tasks.tracking.artifact_paths import as_path_name
    from tasks.tracking.tracker import Tracker

    tracker = Tracker.open(settings, create=False)
    files = export_study(find_execution(tracker, study, run), out or Path(as_path_name(study)))
    paths = [str(file.absolute()) for file in files]
    print_result({"files": paths}, "\n".join(map(str, files)), as_json=as_json)


@click.command()
@click.argument("study", shell_complete=past_studies)
@click.option("--yes", is_flag=True, help="Delete what is listed.")
@as_json_option
def delete(study: str, *, yes: bool, as_json: bool) -> None:
    """List all executions and validations of a study, and delete them with --yes.

    As with `factorgrid prune`, what a registered model was made from is never deleted, nor runs
    whose figures another study uses.
    """
    from tasks.environment import prepare_environment

    settings = prepare_environment()
    from tasks.maintenance.prune import (
        delete_runs,
        plan_deletion,
        pruning_as_json,
        pruning_as_text,
    )
    from tasks.tracking.tracker import Tracker

    tracker = Tracker.open(settings, create=False)
    plan = plan_deletion(tracker, study)
    deleted = delete_runs(tracker, plan) if yes else 0
    print_result(pruning_as_json(plan, deleted), pruning_as_text(plan, deleted), as_json=as_json)


@click.command()
@click.argument("images", type=Path)
@click.option("--name", help="The name of the study; by default that of the folder or zip.")
@click.option("--out", type=Path, metavar="FILE", help="The file to write; by default NAME.toml.")
@as_json_option
def init(images: Path, name: str | None, out: Path | None, *, as_json: bool) -> None:
    """Write the commented file of a study for a folder or zip of images.

    The names of the files are read, to find the classes and count the images; no image is opened.
    A file that exists is not overwritten.
    """
    from tasks.environment import prepare_environment

    settings = prepare_environment()
    from collections import Counter

    from tasks.data.find_images import find_images
    from tasks.data.source import url_of
    from tasks.errors import UserError
    from tasks.study.new_study import new_study_toml
    from tasks.study.study_file import load_study

    source = find_images(images, settings.unpacked)
    classes = dict(sorted(Counter(entry.label for entry in source.entries if entry.label).items()))
    chosen = name or images.stem or "mine"
    file = out or Path(f"{chosen}.toml")
    place = images if url_of(images) else images.absolute()
    try:
        with file.open("x", encoding="utf-8") as written:
            written.write(new_study_toml(file, chosen, place, classes))
    except FileExistsError:
        raise UserError(f"{file}: exists already; name another file with --out") from None
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}; name another file with --out") from error
    try:
        load_study(str(file))
    except UserError:
        file.unlink()
        raise
    count = counted(sum(classes.values()), "image")
    text = f"{file}: a study of {count}; next: factorgrid plan {file}"
    print_result({"study": str(file.absolute()), "classes": classes}, text, as_json=as_json)


@click.command()
def schema() -> None:
    """Print the JSON schema of study files, for editors that check and complete TOML."""
    import json

    from tasks.study.new_study import study_schema

    click.echo(json.dumps(study_schema(), indent=2, ensure_ascii=False))
