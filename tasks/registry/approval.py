"""A person's approval of a promotion, requested with a form in Prefect's pages."""

import datetime as dt
from dataclasses import replace

from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from prefect.runtime import deployment

from tasks.errors import UserError
from tasks.languages import translator
from tasks.registry.model_registry import APPROVED, Registry
from tasks.registry.promote import ApprovalAnswer, Promotion, promote_model
from tasks.registry.verdict import promotion_as_text
from tasks.tracking.tracker import Tracker

#: How long a form waits for its answer: one week.
TIMEOUT_SECONDS = 7 * 24 * 3600


class Approval(RunInput):
    """The fields of the form."""

    approve: bool = False
    because: str = ""


def promote_if_approved(tracker: Tracker, name: str, number: str | None = None) -> Promotion:
    """Judge a challenger, and move the alias after a person has approved it.

    If the challenger has not earned it, nobody is asked. An approval, its day and its reason are
    kept with the version.

    Parameters
    ----------
    tracker : the server with the registry.
    name : of the model.
    number : the version to judge; by default the one with the alias ``challenger``.

    Raises
    ------
    UserError
        If there is no such model or version, or nobody can be asked: the run has no deployment.
    """
    found = promote_model(tracker, name, number=number, dry_run=True)
    if not found.earned:
        return promote_model(tracker, name, number=number)
    form = _request_approval(found)
    answer = ApprovalAnswer(form.approve, form.because)
    if not answer.approved:
        return replace(found, dry_run=False, approval=answer)
    # Judged again: the champion may have changed since the question.
    done = promote_model(tracker, name, number=found.challenger)
    if done.champion == found.challenger:
        day = f"{dt.datetime.now(tz=dt.UTC):%Y-%m-%d}"
        reason = f" ({answer.reason})" if answer.reason else ""
        Registry(tracker, name).tag(found.challenger, APPROVED, f"{day}{reason}")
    return replace(done, approval=answer)


def _request_approval(found: Promotion) -> Approval:
    """Ask whether the alias may move; the flow run is suspended until it is answered.

    A run that is answered starts again from the beginning and comes here with its answer. The
    answer is for this challenger and this champion: if one of them has changed, it asks again.
    """
    if deployment.id is None:
        raise UserError(
            "approval: only the run of a deployment can wait for a person; start it as "
            "promote/MODEL (`factorgrid deploy`), or leave approval out"
        )
    verdict = promotion_as_text(found.verdict, translator("en"))
    form = Approval.with_initial_data(description=f"{verdict}\n\nMay the alias move?")
    key = f"approval-{found.challenger}-{found.before or 'none'}"
    return suspend_flow_run(wait_for_input=form, key=key, timeout=TIMEOUT_SECONDS)
