"""`factorgrid compare`."""

from pathlib import Path
from typing import Any

import click

from flows.commands.completion import study_files
from flows.commands.options import as_json_option, print_result, study_data_options
from flows.commands.prefect_server import prefect_server
from tasks.languages import LANGUAGES, counted


@click.command()
@click.argument("study", required=False, shell_complete=study_files)
@click.option("--table", type=Path, help="A CSV file of trained cells, one row per training.")
@click.option("--response", help="The column of the table to tune for; higher is better.")
@click.option(
    "--budget",
    "budgets",
    type=int,
    multiple=True,
    help=(
        "Trainings of full length per search; with --table runs, and it may be repeated "
        "(by default 8, 12, 20 and 40)."
    ),
)
@click.option("--repetitions", type=int, help="Searches per tuner; by default 3, with --table 200.")
@click.option(
    "--fresh", type=int, help="Trainings with new seeds of each cell that is found; by default 2."
)
@click.option("--tuner", "tuners", multiple=True, help="Only this tuner. May be repeated.")
@click.option("--target", type=float, help="The response that a search is to reach.")
@study_data_options
@click.option(
    "--manual", type=Path, help="A CSV file of cells, in the order in which a person tries them."
)
@click.option("--plots", type=Path, metavar="FOLDER", help="Write the figure and the page there.")
@click.option(
    "--lang",
    type=click.Choice(LANGUAGES),
    help="The language of the page that --plots writes; by default en.",
)
@click.option(
    "--export",
    type=Path,
    metavar="FILE",
    help="Only write the trainings of STUDY to this file, as a table for --table.",
)
@as_json_option
def compare(*, as_json: bool, **options: Any) -> None:
    """Compare this procedure with other tuners that get the same budget.

    With STUDY every tuner searches the cells of the study, between the levels of its factors. Each
    run is trained, or reused if MLflow has it. The cell that a tuner finds is judged by trainings
    with new seeds.

    With --table nothing is trained: the searches are replayed on a table with one row per training,
    one column per factor, and the response. It must contain every combination of the levels. The
    cell that a tuner finds is judged by the mean of all its trainings.
    """
    from tasks.environment import prepare_environment

    settings = prepare_environment()
    from tasks.comparison.request import ExportRequest, TableRequest, check_request, read_study

    request = check_request(options)
    if isinstance(request, TableRequest):
        from tasks.comparison import compare_on_table as table

        replayed = table.compare_on_table(request)
        if request.plots:
            table.save_replay_figure(replayed, request.plots)
        print_result(
            table.replay_as_json(replayed), table.replay_as_text(replayed), as_json=as_json
        )
        return
    from tasks.study.custom_network import with_builder

    study = with_builder(read_study(request.source))
    if isinstance(request, ExportRequest):
        from tasks.comparison.export_cells import export_cells
        from tasks.tracking.tracker import Tracker

        rows = export_cells(Tracker.open(settings, create=False), study, request.path)
        print_result(
            {"rows": rows}, f"{request.path}: {counted(rows, 'training')}", as_json=as_json
        )
        return
    from tasks.comparison.entrants import study_space, study_tuners

    # An unknown tuner is reported before Prefect starts.
    study_tuners(study, study_space(study), request.options.tuners)
    with prefect_server(study, settings):
        from flows.compare import compare as compare_flow
        from tasks.comparison import page, result

        found = compare_flow(study, *request.options, target=request.target)
    if request.plots:
        page.save_comparison(found, request.plots, request.language)
    print_result(
        result.comparison_as_json(found), result.comparison_as_text(found), as_json=as_json
    )
