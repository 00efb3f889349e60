"""The parent run of a study: its description, and its study read back from MLflow."""

import json
from pathlib import Path

import pytest
from support.small_study import STUDY, open_tracker, write_study

from tasks.study.replicates import planned
from tasks.study.study_file import load_study
from tasks.tracking import artifact_paths
from tasks.tracking.dataset_facts import DatasetFacts
from tasks.tracking.execution import Execution, open_execution, past_execution

FACTS = DatasetFacts(2, 36, 0.5, "drawn pictures")
DESCRIPTION = "# Question\n\n- *two* lines & [a link](https://host/)\n\n<b>bold</b>"


def study_of(folder: Path, description: str = "") -> Execution:
    """Return the finished execution of a study."""
    tracker = open_tracker(folder / "home")
    study = load_study(
        str(write_study(folder, f"description = {json.dumps(description)}\n{STUDY}"))
    )
    with open_execution(tracker, study, "version", FACTS) as execution:
        levels = {"conv_layers": 1, "learning_rate": 0.001}
        run_id = execution.replicates.begin(planned(study, "version", "screen", levels, 1))
        assert run_id is not None
        execution.replicates.end(run_id, "FAILED", "the network failed:\n# <b>1</b>")
    return execution


def test_the_descriptions_of_runs_keep_their_lines(tmp_path: Path) -> None:
    execution = study_of(tmp_path, DESCRIPTION)
    client = execution.tracker.client
    note = client.get_run(execution.run_id).data.tags["mlflow.note.content"]
    own, _, names = note.rpartition("\n\n")
    assert own == DESCRIPTION.replace("<", "&lt;")
    assert names == "Not finished: the winner and the figures are shown here at the end."
    (replicate,) = execution.children()
    note = replicate.data.tags["mlflow.note.content"]
    assert note == "the network failed:\n\\# &lt;b&gt;1&lt;/b&gt;"


@pytest.mark.parametrize(
    "data", [{"source": "https:/host/p.zip?sv=1&sig=abcdef"}, {"drawn": 200_000}]
)
def test_a_study_that_an_earlier_version_stored_is_read_back(
    data: dict[str, object], tmp_path: Path
) -> None:
    execution = study_of(tmp_path)
    client, run_id = execution.tracker.client, execution.run_id
    content = execution.study.model_dump(mode="json")
    content["data"] = data
    content["model"]["builder_folder"] = "/networks"
    client.log_dict(run_id, content, artifact_paths.STUDY)
    past = past_execution(execution.tracker, client.get_run(run_id))
    assert past.study.factors == execution.study.factors
    assert "abcdef" not in str(past.study)
