"""`factorgrid analyze`."""

from pathlib import Path
from typing import Any

import click

from flows.commands.completion import experiments
from flows.commands.options import as_json_option, print_result, terminal_text


@click.command()
@click.option("--csv", type=Path, help="A CSV file with a header and one row per run.")
@click.option(
    "--experiment",
    shell_complete=experiments,
    help="An MLflow experiment, of a study or of other runs.",
)
@click.option("--response", help="The column or metric to explain; a study names it itself.")
@click.option(
    "--factor",
    "factors",
    multiple=True,
    metavar="NAME[=LOW,HIGH]",
    help="A factor; by default every column with two levels. May be repeated.",
)
@click.option(
    "--log", multiple=True, metavar="FACTOR", help="A factor on a log scale. May be repeated."
)
@click.option("--order", type=int, help="The highest order of interactions to fit.")
@click.option("--terms", help="The terms to fit, and no others, as in a,b,a:b.")
@click.option(
    "--block",
    help="The column that contains the blocks; by default seeds that all cells share; or none.",
)
@click.option(
    "--whole-plot",
    metavar="COLUMN",
    help="The column of the whole plots, for example the machine or the version of the data, if a "
    "factor is hard to change: test its effects against the variation between them.",
)
@click.option(
    "--alpha", type=float, help="The significance level; by default 0.05, or the study's."
)
@click.option(
    "--scale",
    type=click.Choice(["raw", "logit", "log_error"]),
    default="raw",
    show_default=True,
    help="The scale on which the response is fitted; a proportion may need logit or log_error.",
)
@click.option("--images", type=int, help="The number of images on which a proportion was measured.")
@click.option(
    "--classes",
    type=int,
    help="The number of classes of an accuracy: runs that are no better than guessing count as "
    "collapsed. By default it is guessed from the lowest accuracy; 0: look for no such run.",
)
@click.option(
    "--minimise/--maximise",
    "--minimize/--maximize",
    default=None,
    help="Whether a lower response is better; by default only that of a loss or an error.",
)
@click.option("--budget", type=int, help="The largest number of cells of the refined grid.")
@click.option(
    "--surface",
    is_flag=True,
    help="Fit a second-order surface; needs three or five levels per factor.",
)
@click.option(
    "--dispersion",
    is_flag=True,
    help="Compare the spread of the residuals at each factor's levels.",
)
@click.option(
    "--equal-spread",
    is_flag=True,
    help="Test with one pooled spread, as R's lm does, although that of the cells is unequal.",
)
@click.option(
    "--over-pictures",
    is_flag=True,
    help="Give the standard errors of a study's effects over pictures, too, and not only over "
    "seeds, from the stored answers of its networks to the validation pictures.",
)
@click.option(
    "--plots", type=Path, metavar="FOLDER", help="Write the figures to this folder, as PNG."
)
@as_json_option
def analyze(*, as_json: bool, **options: Any) -> None:
    """Analyse a study or any two-level experiment: effects, verdict, and where to search next.

    The effects, decision, grid and winner of a study are computed only from MLflow. Other runs are
    read from a CSV file, or from an MLflow experiment whose runs have the factors as params. A run
    without a response counts as failed. A column `collapsed` (true or false) marks the runs that
    learnt nothing; without it, runs of an accuracy that are no better than guessing are found.
    """
    from tasks.environment import prepare_environment

    settings = prepare_environment()
    from tasks.analyze.analyze import analyze_request, save_figures
    from tasks.analyze.request import request_from_options

    with terminal_text():
        answered = analyze_request(request_from_options(options), settings)
    if options["plots"]:
        save_figures(answered.found, options["plots"])
    print_result(answered.content, answered.text, as_json=as_json)
