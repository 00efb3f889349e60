"""The command `factorgrid`: every command that reports takes ``--json``.

With it exactly one JSON object goes to standard output, and everything else to standard error.
Nothing heavy is imported before a command needs it: ``--help`` answers at once.
"""

import atexit
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flows.operations import deploy, doctor, prune, up

if TYPE_CHECKING:
    from tasks.settings import Settings
    from tasks.study import Study

EXIT_USER = 2
EXIT_ELSEWHERE = 3
EXIT_INTERRUPTED = 130


class Commands(click.Group):
    """Turns the user's errors into one line and exit status 2; bugs keep their traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:
            click.echo("factorgrid: interrupted; the same command goes on from here", err=True)
            sys.exit(EXIT_INTERRUPTED)
        except Exception as error:
            from tasks.errors import USER_ERRORS, HandedOverError

            if isinstance(error, HandedOverError):
                click.echo(f"factorgrid: {error}", err=True)
                sys.exit(EXIT_ELSEWHERE)
            if not isinstance(error, USER_ERRORS):
                raise
            click.echo(f"factorgrid: {' '.join(str(error).split())}", err=True)
            sys.exit(EXIT_USER)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="factorgrid", prog_name="factorgrid")
def main() -> None:
    """Tune convolutional networks by Design of Experiments.

    State lives in ./.factorgrid, or where FACTORGRID_HOME says; MLFLOW_TRACKING_URI and
    PREFECT_API_URL are honoured.
    """
    # A scheduler's or a system's stop ends a study as Ctrl-C does: MLflow is told.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # An interactive command says its errors itself, in one line; Prefect would print tracebacks.
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")


as_json = click.option(
    "--json", "as_json", is_flag=True, help="Print exactly one JSON object on standard output."
)


def _answer(as_json_: bool, content: dict[str, Any], text: str) -> None:  # noqa: FBT001 # the flag of the option
    click.echo(json.dumps(content, ensure_ascii=False, allow_nan=False) if as_json_ else text)


@main.command()
@click.argument("study", default="quick")
@click.option("--data", type=Path, help="A folder or zip of pictures; drawn ones without it.")
@click.option("--per-class", type=int, help="Take so many pictures of each class.")
@click.option("--image-size", type=int, help="Pixels a side, instead of the study's.")
@click.option(
    "--elsewhere", type=Path, metavar="FOLDER", help="Train on another machine, by this folder."
)
@as_json
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
    from tasks.settings import prepare_environment

    settings = prepare_environment()
    from tasks.builders import with_builder
    from tasks.study import load_study

    checked = with_builder(
        load_study(
            study,
            source=str(data) if data else None,
            per_class=per_class,
            image_size=image_size,
        )
    )
    with _prefect_for(checked, settings):
        from flows.search import search as flow
        from tasks.report import in_words

        outcome = flow(checked, elsewhere)
    _answer(as_json, outcome.to_json(), in_words(outcome))


@contextmanager
def _prefect_for(study: "Study", settings: "Settings") -> Iterator[None]:
    """Have a Prefect server that answers, once the study's pictures are known to be there."""
    if study.data.source is not None:
        from tasks.ingest import find_images
        from tasks.progress import Progress

        # What is wrong with the source is said at once, before servers start.
        with Progress().shown() as progress:
            find_images(study.data.source, settings.unpacked, progress.counted)
    settings.create()
    from tasks.orchestrator import local_prefect
    from tasks.progress import waiting

    with local_prefect(settings) as server:
        with waiting("starting Prefect"):
            # Needed later: loaded, and the database made, while the server starts.
            import flows.search  # noqa: F401
            from tasks.tracking import Tracker
            from tasks.validate import load_great_expectations

            Tracker.open(settings)
            load_great_expectations()
            if server is not None:
                server.wait()
        yield


@main.command()
@click.option("--data", type=Path, required=True, help="A folder or zip of pictures.")
@click.option("--rules", type=Path, help="A file of rules, instead of FactorGrid's own.")
@click.option("--accept", is_flag=True, help="Measure drift from this version from now on.")
@as_json
def validate(
    data: Path,
    rules: Path | None,
    accept: bool,  # noqa: FBT001 # a flag of the command line
    as_json: bool,  # noqa: FBT001 # likewise
) -> None:
    """Validate pictures: what would be accepted, quarantined and passed over, and why."""
    from tasks.settings import prepare_environment

    settings = prepare_environment().create()
    from tasks.prepare import in_words, validate_pictures
    from tasks.progress import Progress

    with Progress().shown() as progress:
        checked, page = validate_pictures(data, settings, progress, rules=rules, accept=accept)
    content = {**checked.to_json(), "page": str(page)}
    _answer(as_json, content, in_words(checked, page))
    sys.exit(0 if content["success"] else EXIT_USER)


@main.command()
@click.option("--clear", is_flag=True, help="Remove what no study has open.")
@as_json
def cache(clear: bool, as_json: bool) -> None:  # noqa: FBT001 # flags of the command line
    """Show the cache of decoded pictures, and clear it."""
    from tasks.cache import clear_caches, in_words, list_caches, to_json
    from tasks.settings import read_settings

    settings = read_settings()
    found = list_caches(settings.cache, settings.unpacked)
    removed = clear_caches(found) if clear else []
    _answer(as_json, to_json(found, removed), in_words(found, removed))


@main.command()
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
@click.option("--plots", type=Path, metavar="FOLDER", help="Write the figures there, as PNG.")
@as_json
def analyze(**given: Any) -> None:
    """Analyse a study, or any two-level experiment: effects, verdict, where to search next.

    A study's effects, decision, grid and winner are rebuilt from MLflow alone. Anyone's runs come
    from a CSV file, or from an MLflow experiment whose runs have the factors as params. A run
    without a response has failed; a column `collapsed` (true, false) names those that learnt
    nothing.
    """
    from tasks.settings import prepare_environment

    settings = prepare_environment()
    from tasks.analyze import answer, request_of, save_figures

    answered = answer(request_of(given), settings)
    if given["plots"]:
        save_figures(answered.found, given["plots"])
    _answer(given["as_json"], answered.content, answered.text)


@main.command()
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
@as_json
def compare(as_json: bool, **given: Any) -> None:  # noqa: FBT001 # a flag of the command line
    """Race this procedure against its alternatives, with the same budget.

    With STUDY every tuner searches the study's cells, between the levels of its factors, and each
    run is trained, or reused where MLflow has it. What each delivers is judged by fresh seeds.

    With --table nothing is trained: searches are replayed on a table that has a row a training, a
    column a factor, the response, and whatever else; every combination of the levels must be there.
    A delivered cell is worth the mean of all its trainings.
    """
    from tasks.settings import prepare_environment

    settings = prepare_environment()
    from tasks.compare import check_request, compare_on_table, in_words, save_figure, to_json

    request = check_request(given)
    if request.table is not None:
        found = compare_on_table(request)
        if request.plots:
            save_figure(found, request.plots)
        _answer(as_json, to_json(found), in_words(found))
        return
    from tasks.builders import with_builder
    from tasks.compare import study_of

    study = with_builder(study_of(request))
    if request.export:
        from tasks.tracking import Tracker

        tracker = Tracker.open(settings, create=False)
        from tasks.comparison import export

        rows = export(tracker, study, request.export)
        _answer(as_json, {"rows": rows}, f"{request.export}: {rows} trainings")
        return
    from tasks.racers import check, entrants, space_of

    check(request.asked)
    entrants(study, space_of(study), request.tuners)
    with _prefect_for(study, settings):
        from flows.compare import compare as flow
        from tasks import comparison

        raced = flow(study, *request.asked, target=request.target)
    if request.plots:
        comparison.save(raced, request.plots)
    _answer(as_json, raced.to_json(), comparison.in_words(raced))


@main.command()
@click.option("--experiment", required=True, help="A study's MLflow experiment: its name.")
@click.option("--out", type=Path, metavar="FILE", help="Where to; by default NAME.html here.")
@click.option("--lang", type=click.Choice(["en", "ko"]), default="en", show_default=True)
@as_json
def report(experiment: str, out: Path | None, lang: str, as_json: bool) -> None:  # noqa: FBT001 # a flag of the command line
    """Write a study's report: one HTML page, rebuilt from MLflow alone."""
    from tasks.settings import prepare_environment

    settings = prepare_environment()
    from tasks.page import write_report

    file = write_report(settings, experiment, out, lang)
    _answer(as_json, {"report": str(file.absolute())}, str(file))


@main.command()
@click.argument("model")
@click.argument("files", nargs=-1, required=True, type=Path)
@as_json
def predict(model: str, files: tuple[Path, ...], as_json: bool) -> None:  # noqa: FBT001 # a flag of the command line
    """Answer pictures with MODEL's champion: label, probability and name, a line a file.

    A file that is no picture has its own error and fails no other; exit status 2 where none was
    answered.
    """
    from tasks.settings import prepare_environment

    settings = prepare_environment()
    from tasks.predict import predict_files

    found = predict_files(settings, model, files)
    _answer(as_json, found.to_json(), found.in_words())
    sys.exit(0 if found.any else EXIT_USER)


@main.command()
@click.argument("model")
@click.option("--version", "number", metavar="N", help="The version; by default the challenger.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
@click.option("--rollback", is_flag=True, help="Return to the champion before today's.")
@click.option("--force", is_flag=True, help="Make it champion by hand; needs --because.")
@click.option("--because", metavar="TEXT", help="The reason, which is kept with the version.")
@as_json
def promote(model: str, as_json: bool, **given: Any) -> None:  # noqa: FBT001 # a flag of the command line
    """Make MODEL's challenger its champion, if it beats today's on the same test images.

    McNemar's test on the answers that MLflow has judges it; on other pictures nothing moves.
    """
    from tasks.settings import prepare_environment

    settings = prepare_environment()
    from tasks.promote import promotion_of

    found = promotion_of(settings, model, given)
    _answer(as_json, found.to_json(), found.in_words())


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to bind to.")
@click.option("--port", default=5000, show_default=True, help="The port to listen on.")
def ui(host: str, port: int) -> None:
    """Open MLflow's pages on the local database; Ctrl-C ends them."""
    from tasks.settings import prepare_environment
    from tasks.ui import serve

    serve(prepare_environment(), host, port)


main.add_command(up)
main.add_command(deploy)
main.add_command(doctor)
main.add_command(prune)


def command() -> None:
    """Run the command and end the process at once, with its exit status.

    What Python does last, freeing all that was imported, takes 2 to 3 s of the processor after a
    study. Threads and exit handlers have ended by then: this one, registered first, is called last.
    """
    status = 1

    def leave() -> None:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except OSError:
            os._exit(status or 1)
        os._exit(status)

    atexit.register(leave)
    try:
        main()
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
        raise


if __name__ == "__main__":
    command()
