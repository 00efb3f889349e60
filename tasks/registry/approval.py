"""A person's yes, asked for in Prefect's form."""

import datetime as dt
from dataclasses import replace

from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from prefect.runtime import deployment

from tasks.errors import UserError
from tasks.registry.model_registry import APPROVED, Registry
from tasks.registry.promote import Promotion, promote_model
from tasks.tracking.tracker import Tracker

#: How long a question stays open: a week.
PATIENCE_SECONDS = 7 * 24 * 3600


class Approval(RunInput):
    """What the form asks for."""

    approve: bool = False
    because: str = ""


def promote_if_approved(tracker: Tracker, name: str, number: str | None = None) -> Promotion:
    """Judge a challenger, and move the alias once a person has said yes.

    Where the challenger has not earned it nobody is asked. The yes, its day and its reason are
    kept with the version.

    Parameters
    ----------
    tracker : the server with the registry.
    name : the model.
    number : the version to judge; by default that of the alias ``challenger``.

    Raises
    ------
    UserError
        If there is no such model or version, or nobody can be asked: the run has no deployment.
    """
    found = promote_model(tracker, name, number=number, dry_run=True)
    if not found.earned:
        return promote_model(tracker, name, number=number)
    answer = _ask(found)
    because = f" ({answer.because})" if answer.because else ""
    if not answer.approve:
        return replace(
            found, dry_run=False, why=f"{found.why}\nNot approved{because}: nothing moves."
        )
    # Judged again: the champion may be another since the question was asked.
    done = promote_model(tracker, name, number=found.challenger)
    if done.champion == found.challenger:
        day = f"{dt.datetime.now(tz=dt.UTC):%Y-%m-%d}"
        Registry(tracker, name).tag(found.challenger, APPROVED, f"{day}{because}")
    return replace(done, why=f"{done.why}\nApproved{because}.")


def _ask(found: Promotion) -> Approval:
    """Ask whether the alias may move; the run leaves its worker until it is answered.

    A run that is answered begins anew, and comes by here with its answer. That is one to this
    challenger and this champion: where either is another by then, it is asked anew.
    """
    if deployment.id is None:
        raise UserError(
            "approval: only the run of a deployment can wait for a person; start it as "
            "promote/promote (`factorgrid deploy`), or leave approval out"
        )
    form = Approval.with_initial_data(description=f"{found.why}\n\nMay the alias move?")
    key = f"approval-{found.challenger}-{found.before or 'none'}"
    return suspend_flow_run(wait_for_input=form, key=key, timeout=PATIENCE_SECONDS)
