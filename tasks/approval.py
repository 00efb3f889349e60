"""A person's yes, asked for in Prefect's form."""

from typing import TYPE_CHECKING

from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput

if TYPE_CHECKING:
    from tasks.promote import Promotion

#: How long a question stays open: a week.
PATIENCE_SECONDS = 7 * 24 * 3600


class Approval(RunInput):
    """What the form asks for."""

    approve: bool = False
    because: str = ""


def approved(found: "Promotion") -> bool:
    """Ask whether the alias may move; the run leaves its worker until it is answered.

    A run that is answered begins anew, and comes by here with its answer.
    """
    form = Approval.with_initial_data(description=f"{found.why}\n\nMay the alias move?")
    answer = suspend_flow_run(wait_for_input=form, key="approval", timeout=PATIENCE_SECONDS)
    return answer.approve
