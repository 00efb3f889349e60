"""What this room raises: the analyst's to fix, never worth a retry."""


class AnalysisError(ValueError):
    """An experiment, design or request that cannot be analysed as given."""


class DesignError(AnalysisError):
    """A design that cannot be made, or a table of runs that is not one."""


class FactorError(AnalysisError):
    """A factor whose levels, scale or domain make no sense."""


class NotEstimableError(AnalysisError):
    """A term that these runs cannot tell from another, or not at all."""
