"""`factorgrid compare`."""

from pathlib import Path
from typing import Any

import click

from flows.commands.options import answer, as_json_option
from flows.commands.prefect_server import prefect_server


@click.command()
@click.argument("study", required=False)
@click.option("--table", type=Path, help="Trained cells instead: a CSV row a training.")
@click.option("--response", help="The table's column to tune for; higher is better.")
@click.option(
    "--budget",
    "budgets",
    type=int,
    multiple=True,
    help="Runs of a search. A table: 8, 12, 20, 40; repeat it.",
)
@click.option("--repetitions", type=int, help="Searches of each tuner; 3, of a table 200.")
@click.option("--fresh", type=int, help="Trainings of each delivered cell with new seeds; 2.")
@click.option("--tuner", "tuners", multiple=True, help="Only this one, by name. Repeat it.")
@click.option("--target", type=float, help="A response to be reached.")
@click.option("--data", type=Path, help="A folder or zip of pictures, for STUDY.")
@click.option("--per-class", type=int, help="Take so many pictures of each class.")
@click.option("--image-size", type=int, help="Pixels a side, instead of the study's.")
@click.option("--manual", type=Path, help="A CSV of cells, in the order a person would try them.")
@click.option("--plots", type=Path, metavar="FOLDER", help="Write figure and page there.")
@click.option(
    "--export", type=Path, metavar="FILE", help="Only write STUDY's trainings as a table."
)
@as_json_option
def compare(as_json: bool, **given: Any) -> None:  # noqa: FBT001 # a flag of the command line
    """Race this procedure against its alternatives, with the same budget.

    With STUDY every tuner searches the study's cells, between the levels of its factors, and each
    run is trained, or reused where MLflow has it. What each delivers is judged by fresh seeds.

    With --table nothing is trained: searches are replayed on a table that has a row a training, a
    column a factor, the response, and whatever else; every combination of the levels must be there.
    A delivered cell is worth the mean of all its trainings.
    """
    from tasks.environment import prepare_environment

    settings = prepare_environment()
    from tasks.comparison.request import ExportRequest, TableRequest, check_request, read_study

    request = check_request(given)
    if isinstance(request, TableRequest):
        from tasks.comparison import compare_on_table as table

        replayed = table.compare_on_table(request)
        if request.plots:
            table.save_replay_figure(replayed, request.plots)
        answer(table.replay_as_json(replayed), table.replay_as_text(replayed), as_json=as_json)
        return
    from tasks.study.custom_network import with_builder

    study = with_builder(read_study(request.source))
    if isinstance(request, ExportRequest):
        from tasks.comparison.export_cells import export_cells
        from tasks.tracking.tracker import Tracker

        rows = export_cells(Tracker.open(settings, create=False), study, request.path)
        answer({"rows": rows}, f"{request.path}: {rows} trainings", as_json=as_json)
        return
    from tasks.comparison.entrants import study_space, study_tuners

    # An unknown tuner is reported before Prefect starts.
    study_tuners(study, study_space(study), request.options.tuners)
    with prefect_server(study, settings):
        from flows.compare import compare as flow
        from tasks.comparison import result

        found = flow(study, *request.options, target=request.target)
    if request.plots:
        result.save_comparison(found, request.plots)
    answer(result.comparison_as_json(found), result.comparison_as_text(found), as_json=as_json)
