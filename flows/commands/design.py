"""`factorgrid design`."""

from pathlib import Path
from typing import Any

import click

from flows.commands.options import as_json_option, print_result


@click.command()
@click.argument("kind")
@click.option(
    "--factor",
    "factors",
    multiple=True,
    metavar="NAME=LOW,HIGH[:SCALE]|NAME=A,B,C",
    help="A factor, its levels and its scale: linear, log, integer or categorical; by default as "
    "in a study file. Repeat it.",
)
@click.option("--runs", type=int, help="Runs of a fraction or a Plackett-Burman design.")
@click.option("--resolution", type=int, help="The lowest resolution of a fraction.")
@click.option("--replicates", type=int, help="Runs per cell; 1 by default.")
@click.option("--blocks", is_flag=True, help="Make each replicate a block, for example one seed.")
@click.option(
    "--centre-points",
    type=int,
    help="Runs in the middle of every factor; by default none, 5 for central-composite, 3 for "
    "box-behnken, 1 for definitive-screening.",
)
@click.option(
    "--axial",
    metavar="DISTANCE",
    help="Coded distance of axial points: rotatable (default), spherical, faced or a number.",
)
@click.option("--csv", type=Path, metavar="FILE", help="The runs of the design to fold over.")
@click.option(
    "--on",
    multiple=True,
    metavar="FACTOR",
    help="A factor whose levels a fold-over changes; all of them by default. Repeat it.",
)
@click.option(
    "--sd",
    type=float,
    metavar="SD",
    help="The standard deviation between runs of one cell, in units of the response: the smallest "
    "effect that the design finds is then in these units.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the random order.")
@click.option("--out", type=Path, metavar="FILE", help="Write the runs to this new CSV file.")
@as_json_option
def design(**given: Any) -> None:
    """Make a design of experiments: its runs in random order, and what they can estimate.

    KIND is full, fraction (with --runs or --resolution), plackett-burman, fold-over (of the runs in
    --csv), central-composite, box-behnken or definitive-screening. Resolution, generators and
    aliases are printed, and the smallest effect that the design, and the design with every run made
    twice, find with a chance of 80 %. Run the experiment, add a column with the response, and read
    it with `factorgrid analyze --csv`.
    """
    from analysis.designs.summary import design_as_json
    from tasks.designs.make_design import design_report, make_design, write_runs
    from tasks.designs.power import design_power, power_as_json
    from tasks.designs.request import design_request

    made = make_design(design_request(given))
    power = design_power(made, given["sd"])
    out = given["out"]
    if out:
        write_runs(made, out)
    content = design_as_json(made) | power_as_json(power) | {"file": out and str(out)}
    print_result(content, design_report(made, power, out), as_json=given["as_json"])
