"""Validating pictures without a study, as one Prefect flow that can be scheduled."""

from pathlib import Path
from typing import Annotated, Any

from prefect import flow, runtime

from tasks.data.allowed_folders import check_allowed
from tasks.environment import prepare_environment
from tasks.progress import Progress
from tasks.report.prefect_artifacts import Help, on_failure, run_name
from tasks.validation.report import validation_as_json
from tasks.validation.validate import VALIDATION_EXPERIMENT, validate_pictures


@flow(
    flow_run_name=run_name, name="validate-images", on_failure=[on_failure], on_crashed=[on_failure]
)
def validate_images(
    source: Annotated[Path, Help("A folder or zip file of images.")],
    rules: Annotated[Path | None, Help("A file of rules, in place of those of FactorGrid.")] = None,
    experiment: Annotated[str, Help("The name of the experiment in MLflow.")] = (
        VALIDATION_EXPERIMENT
    ),
) -> dict[str, Any]:
    """Validate the pictures of a folder or zip; log results and Data Docs to MLflow.

    The flow run fails if a rule for the whole set is broken, so that Prefect's pages show it.

    Parameters
    ----------
    source : a folder or zip of pictures.
    rules : a file of rules, instead of FactorGrid's rules.
    experiment : the name of the MLflow experiment.

    Returns
    -------
    Counts and reasons, as ``factorgrid validate --json`` prints them.
    """
    settings = prepare_environment().create()
    if runtime.deployment.id:
        check_allowed({"source": source, "rules": rules})
    with Progress().display() as progress:
        checked, page = validate_pictures(
            source, settings, progress, rules=rules, experiment=experiment
        )
    checked.raise_if_failed()
    return {**validation_as_json(checked), "page": str(page)}
