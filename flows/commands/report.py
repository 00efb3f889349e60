"""`factorgrid report`."""

from pathlib import Path

import click

from flows.commands.completion import past_studies
from flows.commands.options import as_json_option, language_option, print_result


@click.command()
@click.option(
    "--experiment",
    required=True,
    shell_complete=past_studies,
    help="The MLflow experiment of a study: its name.",
)
@click.option(
    "--out",
    type=Path,
    metavar="FILE",
    help="The file to write; by default NAME.html in this folder.",
)
@language_option("The language of the report.")
@as_json_option
def report(experiment: str, out: Path | None, lang: str, *, as_json: bool) -> None:
    """Write the report of a study as one HTML page; it needs only MLflow."""
    from tasks.environment import prepare_environment

    settings = prepare_environment()
    from tasks.report.publish import write_report

    file = write_report(settings, experiment, out, lang)
    print_result({"report": str(file.absolute())}, str(file), as_json=as_json)
