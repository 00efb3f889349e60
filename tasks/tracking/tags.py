"""The tags by which FactorGrid finds its runs again, and the one param that is no setting.

Users see them in MLflow's pages, and stored studies have them: their names never change.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tasks.study.replicates import Stage

PREFIX = "factorgrid."
#: What a run is: ``study``, ``comparison``, ``replicate``, ``search`` or ``validation``.
KIND = PREFIX + "kind"
#: Of a replicate: the digest of everything that determines its training.
KEY = PREFIX + "key"
#: Of a replicate: its cell as text, for example ``conv_layers=3 learning_rate=0.001``.
CELL = PREFIX + "cell"
#: Of a replicate of a finished study, whether its cell is the winner or as good as the best.
VERDICT = PREFIX + "verdict"
#: Of a replicate that was not trained again: the run whose figures it repeats.
REUSED_FROM = PREFIX + "reused_from"
#: Of a replicate with a checkpoint: the digest of everything that determines its training, without
#: the number of epochs. A longer training with the same digest continues from it.
PREFIX_KEY = PREFIX + "prefix_key"
#: Of a replicate with a checkpoint: the number of epochs that it was trained.
EPOCHS = PREFIX + "epochs"
#: Of a replicate that did not start from the beginning: the run from whose checkpoint it continued.
CONTINUED_FROM = PREFIX + "continued_from"
#: Of a replicate that could not continue from the checkpoint of another run: why not.
NOT_CONTINUED = PREFIX + "not_continued"
#: A param, of a replicate that was trained: `RESULT_KEPT` if its process ended it as FINISHED,
#: `RESULT_DISCARDED` if another process took it over before. Runs of earlier versions have none.
RESULT = PREFIX + "result"
RESULT_KEPT, RESULT_DISCARDED = "kept", "discarded"
#: Why a run did not finish, for example ``cut off``.
STATUS = PREFIX + "status"
#: Of an attempt whose training process ended without a result: how it ended.
DIED = PREFIX + "died"
#: Of a replicate: the layers whose multiply-adds could not be counted; missing if all could.
NOT_COUNTED = PREFIX + "not_counted"
#: Of a parent run: the stage after which the study was stopped because no network had learned.
NOTHING_LEARNED = PREFIX + "nothing_learned"
#: Of a parent run: the digest by which an execution that was cut off is found again.
STUDY_DIGEST = PREFIX + "study_digest"
#: The version of FactorGrid that wrote the run.
CODE_VERSION = PREFIX + "code_version"
#: The dataset version that a run was trained on, or that a validation checked.
DATASET_VERSION = PREFIX + "dataset_version"
#: Of a validation, after `PREFIX`: the rules that were broken, as text; empty if it passed.
BROKEN = "broken_rules"
#: Of an experiment: the parent run of the newest study, which its views show.
LAST_STUDY = PREFIX + "last_study"
#: MLflow's own tag of a nested run: its parent run.
PARENT = "mlflow.parentRunId"


def stage_tag(stage: "Stage") -> str:
    """Return the tag of the replicates that a stage uses."""
    return f"{PREFIX}in_{stage}"
