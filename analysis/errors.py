"""The errors of this package: the user corrects the input; no retry helps."""


class AnalysisError(ValueError):
    """An experiment, a design or a request that cannot be analyzed as given."""


class DesignError(AnalysisError):
    """A design that cannot be made, or a table of runs that does not follow a design."""


class FactorError(AnalysisError):
    """A factor whose levels, scale or domain are not valid."""


class NotEstimableError(AnalysisError):
    """A term that these runs cannot estimate, or not separately from another."""
