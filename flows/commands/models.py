"""`factorgrid predict`, `promote` and `convert`: registered models."""

import sys
from pathlib import Path
from typing import Any

import click

from flows.commands.completion import registered_models
from flows.commands.options import EXIT_USER_ERROR, as_json_option, print_result


@click.command()
@click.argument("model", shell_complete=registered_models)
@click.argument("files", nargs=-1, required=True, type=Path)
@as_json_option
def predict(model: str, files: tuple[Path, ...], *, as_json: bool) -> None:
    """Classify pictures with the champion of MODEL: label, probability and file, one line per file.

    A file that is not a picture gets its own error line, and the other files are still classified.
    The exit status is 2 if no file could be classified.
    """
    from tasks.environment import prepare_environment

    settings = prepare_environment()
    from tasks.registry.predict import predict_files, predictions_as_json, predictions_as_text

    found = predict_files(settings, model, files)
    print_result(predictions_as_json(found), predictions_as_text(found), as_json=as_json)
    sys.exit(0 if found.any_answered else EXIT_USER_ERROR)


@click.command()
@click.argument("model", shell_complete=registered_models)
@click.option("--version", "number", metavar="N", help="The version; by default the challenger.")
@click.option("--dry-run", is_flag=True, help="Report what would be done, and move no alias.")
@click.option("--rollback", is_flag=True, help="Return to the champion before the current one.")
@click.option("--force", is_flag=True, help="Make it champion without a test; needs --because.")
@click.option("--because", metavar="TEXT", help="The reason; it is stored with the version.")
@as_json_option
def promote(model: str, *, as_json: bool, **options: Any) -> None:
    """Make the challenger of MODEL its champion, if it is better on the same test images.

    The two are compared by McNemar's test on their answers in MLflow. If they were tested on
    different images, nothing is changed.
    """
    from tasks.environment import prepare_environment

    settings = prepare_environment()
    from tasks.registry.promote import (
        promote_by_options,
        promotion_result_as_json,
        promotion_result_as_text,
    )

    found = promote_by_options(settings, model, options)
    print_result(promotion_result_as_json(found), promotion_result_as_text(found), as_json=as_json)


@click.command()
@click.argument("model", shell_complete=registered_models)
@click.option("--out", required=True, type=Path, metavar="FILE", help="The .tflite file to write.")
@click.option("--version", "number", metavar="N", help="The version; by default the champion.")
@as_json_option
def convert(model: str, out: Path, number: str | None, *, as_json: bool) -> None:
    """Write the network of MODEL as a LiteRT file, which needs no Keras.

    Its answers are compared with those of the registered network before the file is written. The
    classes and the image size are written beside it, as JSON.
    """
    from tasks.environment import prepare_environment

    settings = prepare_environment()
    from tasks.registry.convert import convert_model, converted_as_json, converted_as_text

    found = convert_model(settings, model, number, out)
    print_result(converted_as_json(found), converted_as_text(found), as_json=as_json)
