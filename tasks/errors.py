"""The tree of errors: the class of an error says who acts on it.

===================  ===========================================  ==============================
class                who acts on it                               what happens
===================  ===========================================  ==============================
`UserError`          the user corrects a file, option or setting  one line, exit status 2
`RetryableError`     nobody: the cause may be temporary           tried again, then one line
`CellError`          the user, later: a cell cannot be trained    the cell fails, study continues
`HandedOverError`    the user trains on another machine           one line, exit status 3
`UnreadableError`    the user, later: an image cannot be read     the image is quarantined
`OSError`            the user, if `file_fault` knows a remedy     one line, exit status 2
any other exception  the developers: it is a bug                  a traceback
===================  ===========================================  ==============================

`models` and `analysis` must not import this file; `USER_ERRORS` lists their errors that the user
corrects.
"""

import errno

from analysis.errors import AnalysisError
from models.errors import SpecError


class FactorGridError(Exception):
    """The root of the tree."""


class UserError(FactorGridError):
    """For the user to correct: the message says what, where, what was given and what to do next."""


class SettingError(UserError):
    """An environment variable of FactorGrid has an invalid value."""


class StudyError(UserError):
    """A study file, or an option that changes it, is invalid."""


class NothingLearnedError(UserError):
    """In no cell of a study's screen did a network learn, so the study was stopped."""


class DataError(UserError):
    """Images cannot be found, read or trusted."""


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
    """An MLflow server or database is missing, unreachable or not MLflow's."""


class LeaseLostError(UserError):
    """Another process took over what this one held, because it was not seen for too long."""


class OrchestratorError(UserError):
    """A Prefect server is missing, unreachable or does not start."""


class RetryableError(FactorGridError):
    """The same call may succeed a moment later."""


class SlotDiedError(RetryableError):
    """The process that trained a replicate ended before it returned a result.

    Attributes
    ----------
    cause : how it ended, for example ``signal SIGKILL``; empty if it could not be started.
    peak_memory_mb : the most memory that it was seen to use, MiB; 0 if that is not known.
    """

    def __init__(self, message: str, cause: str = "", peak_memory_mb: float = 0.0) -> None:
        super().__init__(message)
        self.cause, self.peak_memory_mb = cause, peak_memory_mb


class SlotsClosedError(FactorGridError):
    """The study has ended: nothing more is trained."""


class HandedOverError(FactorGridError):
    """The jobs were written for another machine; this is no fault, and the study can continue."""


class CellError(FactorGridError):
    """One cell cannot be trained; the others can.

    Attributes
    ----------
    details : the traceback from its slot; empty if there is none.
    """

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


#: Why a file or folder cannot be used, as the system reports it, and what to do about it.
FILE_REMEDIES = {
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS),
        "name a place that you can write to, or change its permissions",
    ),
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free space on its disk"),
    **dict.fromkeys(
        (errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
        "a file and a folder have the same name: rename one of them",
    ),
    errno.ENAMETOOLONG: "use a shorter name",
}


def file_fault(error: Exception) -> str | None:
    """Return as one line why the system refused a file, and what to do; None for other errors."""
    remedy = FILE_REMEDIES.get(error.errno or 0) if isinstance(error, OSError) else None
    if remedy is None or not isinstance(error, OSError) or error.filename is None:
        return None
    return f"{error.filename}: {error.strerror}; {remedy}"


#: The errors that the command line prints as one line, with exit status 2.
USER_ERRORS: tuple[type[Exception], ...] = (
    UserError,
    RetryableError,
    AnalysisError,
    SpecError,
)
