"""`factorgrid report`."""

from pathlib import Path

import click

from flows.commands.options import answer, as_json_option
from tasks.languages import LANGUAGES


@click.command()
@click.option("--experiment", required=True, help="A study's MLflow experiment: its name.")
@click.option("--out", type=Path, metavar="FILE", help="Where to; by default NAME.html here.")
@click.option("--lang", type=click.Choice(LANGUAGES), default="en", show_default=True)
@as_json_option
def report(experiment: str, out: Path | None, lang: str, as_json: bool) -> None:  # noqa: FBT001 # a flag of the command line
    """Write a study's report: one HTML page, rebuilt from MLflow alone."""
    from tasks.environment import prepare_environment

    settings = prepare_environment()
    from tasks.report.publish import write_report

    file = write_report(settings, experiment, out, lang)
    answer({"report": str(file.absolute())}, str(file), as_json=as_json)
