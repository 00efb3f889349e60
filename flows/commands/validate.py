"""`factorgrid validate`."""

import sys
from pathlib import Path

import click

from flows.commands.options import EXIT_USER_ERROR, as_json_option, language_option, print_result


@click.command()
@click.option("--data", type=Path, required=True, help="A folder or zip of pictures.")
@click.option("--rules", type=Path, help="A file of rules, instead of FactorGrid's rules.")
@click.option(
    "--accept",
    is_flag=True,
    help="Use this dataset version as the reference for drift from now on.",
)
@language_option("The language of the page.")
@as_json_option
def validate(data: Path, rules: Path | None, *, accept: bool, lang: str, as_json: bool) -> None:
    """Validate pictures: report which are accepted, quarantined or skipped, and why.

    The exit status is 2 if a rule for the whole set is broken.
    """
    from tasks.environment import prepare_environment

    settings = prepare_environment().create()
    from tasks.credentials import move_signature_to_environment
    from tasks.progress import Progress
    from tasks.validation.report import validation_as_json, validation_as_text
    from tasks.validation.validate import validate_pictures

    pictures = Path(move_signature_to_environment(str(data)))
    with Progress().display() as progress:
        checked, page = validate_pictures(
            pictures, settings, progress, rules=rules, accept=accept, language=lang
        )
    content = {**validation_as_json(checked), "page": str(page)}
    print_result(content, validation_as_text(checked, page), as_json=as_json)
    sys.exit(0 if content["success"] else EXIT_USER_ERROR)
