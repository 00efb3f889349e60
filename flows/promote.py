"""Comparing a model's challenger with its champion, as one Prefect flow that can be scheduled."""

from typing import Annotated, Any

from prefect import flow, get_run_logger

from tasks.environment import prepare_environment
from tasks.registry.approval import promote_if_approved
from tasks.registry.promote import (
    promote_model,
    promotion_result_as_json,
    promotion_result_as_text,
)
from tasks.report.prefect_artifacts import Help, on_failure, run_name
from tasks.tracking.tracker import Tracker


@flow(flow_run_name=run_name, name="promote", on_failure=[on_failure], on_crashed=[on_failure])
def promote(
    model: Annotated[str, Help("The name of the registered model.")],
    version: Annotated[str | None, Help("By default that of the alias challenger.")] = None,
    *,
    dry_run: Annotated[bool, Help("Report the comparison, and move no alias.")] = False,
    approval: Annotated[bool, Help("Ask a person before the alias is moved.")] = False,
) -> dict[str, Any]:
    """Make a model's challenger its champion, if it is better on the same test images.

    Parameters
    ----------
    model : the name of the registered model.
    version : the version to compare; by default that of the alias ``challenger``.
    dry_run : report the comparison, and move no alias. It counts as a look at the test images.
    approval : ask a person before the alias is moved. The flow run is suspended until the answer,
        which is possible only for a deployment.

    Returns
    -------
    The comparison and what was done, as ``factorgrid promote --json`` prints them.
    """
    tracker = Tracker.open(prepare_environment().create(), create=False)
    if approval and not dry_run:
        promotion = promote_if_approved(tracker, model, version)
    else:
        promotion = promote_model(tracker, model, number=version, dry_run=dry_run)
    get_run_logger().info(promotion_result_as_text(promotion))
    return promotion_result_as_json(promotion)
