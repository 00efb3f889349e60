"""`factorgrid validate`."""

import sys
from pathlib import Path

import click

from flows.commands.options import EXIT_USER, answer, as_json_option


@click.command()
@click.option("--data", type=Path, required=True, help="A folder or zip of pictures.")
@click.option("--rules", type=Path, help="A file of rules, instead of FactorGrid's own.")
@click.option("--accept", is_flag=True, help="Measure drift from this version from now on.")
@as_json_option
def validate(
    data: Path,
    rules: Path | None,
    accept: bool,  # noqa: FBT001 # a flag of the command line
    as_json: bool,  # noqa: FBT001 # likewise
) -> None:
    """Validate pictures: what would be accepted, quarantined and passed over, and why."""
    from tasks.environment import prepare_environment

    settings = prepare_environment().create()
    from tasks.progress import Progress
    from tasks.validation.report import validation_as_json, validation_as_text
    from tasks.validation.validate import validate_pictures

    with Progress().display() as progress:
        checked, page = validate_pictures(data, settings, progress, rules=rules, accept=accept)
    content = {**validation_as_json(checked), "page": str(page)}
    answer(content, validation_as_text(checked, page), as_json=as_json)
    sys.exit(0 if content["success"] else EXIT_USER)
