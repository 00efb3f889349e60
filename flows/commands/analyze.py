"""`factorgrid analyze`."""

from pathlib import Path
from typing import Any

import click

from flows.commands.options import answer, as_json_option


@click.command()
@click.option("--csv", type=Path, help="A table with a header, a row a run.")
@click.option("--experiment", help="An MLflow experiment: a study's, or anyone's.")
@click.option("--response", help="The column or metric to explain; a study knows its own.")
@click.option(
    "--factor",
    "factors",
    multiple=True,
    metavar="NAME[=LOW,HIGH]",
    help="A factor; by default every column with two levels. Repeat it.",
)
@click.option("--log", multiple=True, metavar="FACTOR", help="A factor on a log scale. Repeat it.")
@click.option("--order", type=int, help="The highest interaction to fit.")
@click.option("--terms", help="Exactly the terms to fit, as in a,b,a:b.")
@click.option("--block", help="The column whose values are blocks.")
@click.option("--alpha", type=float, help="Of the verdict; 0.05, or the study's.")
@click.option(
    "--scale",
    type=click.Choice(["raw", "logit", "log_error"]),
    default="raw",
    show_default=True,
    help="The scale on which the response is fitted; a share may need another than its own.",
)
@click.option("--images", type=int, help="How many images a share was read on.")
@click.option("--minimise", is_flag=True, help="A lower response is better.")
@click.option("--budget", type=int, help="The most cells of the refined grid.")
@click.option("--surface", is_flag=True, help="Fit a second-order surface: three levels or five.")
@click.option(
    "--dispersion", is_flag=True, help="Compare the residuals' spread at each factor's levels."
)
@click.option("--plots", type=Path, metavar="FOLDER", help="Write the figures there, as PNG.")
@as_json_option
def analyze(**given: Any) -> None:
    """Analyse a study, or any two-level experiment: effects, verdict, where to search next.

    A study's effects, decision, grid and winner are rebuilt from MLflow alone. Anyone's runs come
    from a CSV file, or from an MLflow experiment whose runs have the factors as params. A run
    without a response has failed; a column `collapsed` (true, false) names those that learnt
    nothing.
    """
    from tasks.environment import prepare_environment

    settings = prepare_environment()
    from tasks.analyze.analyze import analyze_request, save_figures
    from tasks.analyze.request import request_from_options

    answered = analyze_request(request_from_options(given), settings)
    if given["plots"]:
        save_figures(answered.found, given["plots"])
    answer(answered.content, answered.text, as_json=given["as_json"])
