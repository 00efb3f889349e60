"""Judging a registered model's challenger, as a Prefect flow: for a schedule."""

from typing import Any

from prefect import flow, get_run_logger

from tasks.environment import prepare_environment
from tasks.registry.approval import promote_if_approved
from tasks.registry.promote import (
    promote_model,
    promotion_result_as_json,
    promotion_result_as_text,
)
from tasks.report.prefect_artifacts import on_failure
from tasks.tracking.tracker import Tracker


@flow(name="promote", on_failure=[on_failure], on_crashed=[on_failure])
def promote(
    model: str, version: str | None = None, *, dry_run: bool = False, approval: bool = False
) -> dict[str, Any]:
    """Make a model's challenger its champion, if it beats today's on the same test images.

    Parameters
    ----------
    model : the registered model.
    version : the version to judge; by default that of the alias ``challenger``.
    dry_run : change nothing.
    approval : ask a person before the alias moves; the run is suspended until then. It needs a
        deployment.

    Returns
    -------
    What was found and done, as ``factorgrid promote --json`` prints it.
    """
    tracker = Tracker.open(prepare_environment().create(), create=False)
    if approval and not dry_run:
        found = promote_if_approved(tracker, model, version)
    else:
        found = promote_model(tracker, model, number=version, dry_run=dry_run)
    get_run_logger().info(promotion_result_as_text(found))
    return promotion_result_as_json(found)
