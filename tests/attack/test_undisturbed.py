"""What the attacks compare with: undisturbed studies are the same, and go through all phases."""

from pathlib import Path

import pytest
from attack.compare import StudyState, differences, leftovers, read_state
from attack.faults import PHASES
from attack.study_process import AttackedStudy

pytestmark = [pytest.mark.study, pytest.mark.process]


def test_two_undisturbed_studies_are_the_same(undisturbed: StudyState, tmp_path: Path) -> None:
    study = AttackedStudy(tmp_path)
    try:
        assert study.finish() == []
        # If a phase's line changes, no fault happens in it, and an attack passes without attacking.
        assert [phase.name for phase in PHASES if not phase.has_begun(study)] == []
        state = read_state(study)
        assert differences(state, undisturbed) == []
        assert leftovers(study, undisturbed) == []
    finally:
        study.close()
