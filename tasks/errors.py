"""The tree of errors: each says who acts on it.

=====================  =================================  ==================================
class                  who acts                           what happens
=====================  =================================  ==================================
`UserError`            the user: a file, a setting        one line, exit status 2, no traceback
`RetryableError`       nobody: the world may come back    tried again, then reported
`CellError`            the user, later: one cell is bad   that cell fails, the study goes on
`HandedOverError`      the user: trains elsewhere         one line, exit status 3, resumable
`UnreadableError`      the user, later: one picture is    it goes to quarantine
anything else          us: a bug                          a traceback
=====================  =================================  ==================================

The pure rooms cannot import this file; `USER_ERRORS` names theirs.
"""

from analysis.errors import AnalysisError
from models.errors import SpecError


class FactorGridError(Exception):
    """The root of the tree."""


class UserError(FactorGridError):
    """The user's to fix: says what, where, what was given, and the next move."""


class SettingError(UserError):
    """An environment variable of ours with a value that it cannot have."""


class StudyError(UserError):
    """A study file, or an option on top of it, that makes no study."""


class DataError(UserError):
    """Pictures that cannot be found, read or trusted."""


class UnreadableError(FactorGridError):
    """One picture cannot be read: it goes to quarantine.

    Attributes
    ----------
    kind, details : the reason, see `tasks.data.reason.Reason`.
    """

    def __init__(self, kind: str, /, **details: object) -> None:
        super().__init__(kind)
        self.kind, self.details = kind, details


class TrackingError(UserError):
    """An MLflow server or database that is not there or not ours."""


class OrchestratorError(UserError):
    """A Prefect server that is not there, or does not start."""


class RetryableError(FactorGridError):
    """The same call may succeed a moment later."""


class SlotDiedError(RetryableError):
    """The process that trained a replicate ended before its result came."""


class SlotsClosedError(FactorGridError):
    """The study is over: nothing more is trained."""


class HandedOverError(FactorGridError):
    """What is to be trained was written for another machine; no fault, and the study goes on."""


class CellError(FactorGridError):
    """One cell cannot be trained; the others can.

    Attributes
    ----------
    details : the traceback from its slot, where there is one.
    """

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


#: What the command line turns into one line and exit status 2.
USER_ERRORS: tuple[type[Exception], ...] = (UserError, AnalysisError, SpecError)
