"""`factorgrid search`."""

from pathlib import Path

import click

from flows.commands.completion import study_files
from flows.commands.options import (
    as_json_option,
    budget_options,
    print_result,
    setting_options,
    study_data_options,
    terminal_text,
)
from flows.commands.prefect_server import prefect_server


@click.command()
@click.argument("study", default="quick", shell_complete=study_files)
@study_data_options
@budget_options
@setting_options
@click.option(
    "--elsewhere",
    type=Path,
    metavar="FOLDER",
    help="Train on another machine: write the jobs to this folder, and read the results from it.",
)
@as_json_option
def search(
    study: str,
    *,
    data: Path | None,
    per_class: int | None,
    image_size: int | None,
    budget: int | None,
    minutes: float | None,
    replaced: tuple[str, ...],
    name: str | None,
    elsewhere: Path | None,
    as_json: bool,
) -> None:
    """Search for the best cell of a study, confirm it, and register its network.

    STUDY is a built-in study (quick, dogs-vs-cats, dogs-vs-cats-plain,
    transfer, paper) or a TOML file. If neither the study nor
    --data names pictures, they are drawn. A study that was interrupted continues where it stopped.
    """
    from tasks.environment import prepare_environment

    settings = prepare_environment()
    from tasks.errors import UserError
    from tasks.study.custom_network import with_builder
    from tasks.study.study_file import load_study

    if elsewhere is not None and settings.runner != "threads":
        raise UserError(
            f"--elsewhere {elsewhere}: has no effect with FACTORGRID_RUNNER={settings.runner}, by "
            "which a cluster trains; leave one of them out"
        )
    checked = with_builder(
        load_study(
            study,
            budget=budget,
            minutes=minutes,
            replaced=replaced,
            name=name,
            source=str(data) if data else None,
            per_class=per_class,
            image_size=image_size,
        )
    )
    with prefect_server(checked, settings):
        from flows.search import search as search_flow
        from tasks.report.as_json import outcome_as_json
        from tasks.report.text import outcome_as_text

        outcome = search_flow(checked, elsewhere)
    with terminal_text():
        text = outcome_as_text(outcome)
    print_result(outcome_as_json(outcome), text, as_json=as_json)
