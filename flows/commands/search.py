"""`factorgrid search`."""

from pathlib import Path

import click

from flows.commands.options import answer, as_json_option
from flows.commands.prefect_server import prefect_server


@click.command()
@click.argument("study", default="quick")
@click.option("--data", type=Path, help="A folder or zip of pictures; drawn ones without it.")
@click.option("--per-class", type=int, help="Take so many pictures of each class.")
@click.option("--image-size", type=int, help="Pixels a side, instead of the study's.")
@click.option(
    "--elsewhere", type=Path, metavar="FOLDER", help="Train on another machine, by this folder."
)
@as_json_option
def search(
    study: str,
    data: Path | None,
    per_class: int | None,
    image_size: int | None,
    elsewhere: Path | None,
    as_json: bool,  # noqa: FBT001 # a flag of the command line
) -> None:
    """Screen, decide, refine, confirm and register.

    STUDY is a built-in study (quick, dogs-vs-cats, paper) or a TOML file.
    """
    from tasks.environment import prepare_environment

    settings = prepare_environment()
    from tasks.study.custom_network import with_builder
    from tasks.study.study_file import load_study

    checked = with_builder(
        load_study(
            study,
            source=str(data) if data else None,
            per_class=per_class,
            image_size=image_size,
        )
    )
    with prefect_server(checked, settings):
        from flows.search import search as flow
        from tasks.report.as_json import outcome_as_json
        from tasks.report.text import outcome_as_text

        outcome = flow(checked, elsewhere)
    answer(outcome_as_json(outcome), outcome_as_text(outcome), as_json=as_json)
