"""The tags by which FactorGrid finds its runs again; users see them in MLflow's pages."""

from tasks.study.replicates import Stage

PREFIX = "factorgrid."
KIND = PREFIX + "kind"
KEY = PREFIX + "key"
REUSED_FROM = PREFIX + "reused_from"
STATUS = PREFIX + "status"
STUDY_DIGEST = PREFIX + "study_digest"
CODE_VERSION = PREFIX + "code_version"
#: A tag of validations: what stopped the study.
BROKEN = "broken_rules"
PARENT = "mlflow.parentRunId"


def stage_tag(stage: Stage) -> str:
    """Return the tag of the replicates that a stage asked for."""
    return f"{PREFIX}in_{stage}"
