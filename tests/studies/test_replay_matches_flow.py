"""The shipped search, carried out by the flow and replayed on its own figures."""

from support.replay import check_replay
from support.small_study import Done

from tasks.study.study_file import load_study


def test_a_replay_of_a_grid_search_runs_the_cells_of_the_flow(done: Done) -> None:
    check_replay(load_study(str(done.path)), done.execution)
