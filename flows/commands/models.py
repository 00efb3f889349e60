"""`factorgrid predict` and `factorgrid promote`: the registered models."""

import sys
from pathlib import Path
from typing import Any

import click

from flows.commands.options import EXIT_USER, answer, as_json_option


@click.command()
@click.argument("model")
@click.argument("files", nargs=-1, required=True, type=Path)
@as_json_option
def predict(model: str, files: tuple[Path, ...], as_json: bool) -> None:  # noqa: FBT001 # a flag of the command line
    """Answer pictures with MODEL's champion: label, probability and name, a line a file.

    A file that is no picture has its own error and fails no other; exit status 2 where none was
    answered.
    """
    from tasks.environment import prepare_environment

    settings = prepare_environment()
    from tasks.registry.predict import predict_files, predictions_as_json, predictions_as_text

    found = predict_files(settings, model, files)
    answer(predictions_as_json(found), predictions_as_text(found), as_json=as_json)
    sys.exit(0 if found.any_answered else EXIT_USER)


@click.command()
@click.argument("model")
@click.option("--version", "number", metavar="N", help="The version; by default the challenger.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
@click.option("--rollback", is_flag=True, help="Return to the champion before today's.")
@click.option("--force", is_flag=True, help="Make it champion by hand; needs --because.")
@click.option("--because", metavar="TEXT", help="The reason, which is kept with the version.")
@as_json_option
def promote(model: str, as_json: bool, **given: Any) -> None:  # noqa: FBT001 # a flag of the command line
    """Make MODEL's challenger its champion, if it beats today's on the same test images.

    McNemar's test on the answers that MLflow has judges it; on other pictures nothing moves.
    """
    from tasks.environment import prepare_environment

    settings = prepare_environment()
    from tasks.registry.promote import (
        promote_by_options,
        promotion_result_as_json,
        promotion_result_as_text,
    )

    found = promote_by_options(settings, model, given)
    answer(promotion_result_as_json(found), promotion_result_as_text(found), as_json=as_json)
