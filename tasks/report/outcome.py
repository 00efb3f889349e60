"""The findings of a study, read from MLflow: the same in a running study and years later."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from analysis.effects.result import Effects
from analysis.factors import Level
from analysis.search import procedure
from analysis.search.best_cell import Selection
from analysis.search.changes import Change, changes_of_cell
from analysis.search.front import SecondFindings, second_findings
from analysis.search.lead import Lead
from analysis.search.lengths import RankingAtLengths, ranking_at_lengths
from analysis.search.next_moves import NextMove, next_moves
from analysis.search.refined_grid import Decision
from tasks.errors import UserError
from tasks.registry.register import Registered, read_registered
from tasks.search.confirm import select_cell
from tasks.search.nothing_learned import NothingLearned, nothing_learned, runs_that_show_learning
from tasks.search.other_pictures import effects_on_other_pictures, lead_on_other_pictures
from tasks.search.screen import analyse_runs
from tasks.study.replicates import FINAL
from tasks.study.study_file import Study
from tasks.tracking.artifact_paths import PICTURES
from tasks.tracking.correct_answers import ACCURACY
from tasks.tracking.execution import Execution
from tasks.tracking.final_training import FinalTraining, final_training, runs_of_cell
from tasks.tracking.links import StudyLinks
from tasks.tracking.metric_history import metric_history
from tasks.wording.over_pictures import OverPictures

#: With more runs than this, no process is fitted for a report: its memory grows with their square.
MOST_RUNS = 1000


@dataclass(frozen=True)
class Outcome:
    """All findings of a study, as data.

    Attributes
    ----------
    study : the study that was carried out.
    data : its images, as text.
    classes : class -> its images in training, validation and test together; empty if they were not
        logged.
    effects : the effects model of the screen; None if it is no two-level design.
    decision : the refined grid and its reasons; None likewise.
    grid : one row per cell of the refined grid: its levels, ``n``, ``mean`` and ``sd`` of the
        response.
    selection : the chosen cell, and the cells that cannot be distinguished from the best.
    registered : the registered winner; None if the study is not finished.
    nothing_learned : what to change if the study ended after its screen, because no network of the
        screen learned; None otherwise.
    next_moves : what to do next, the most useful first; at least one.
    lengths : how trainings of a part of the epochs rank the cells; None if there were none.
    second : what was found of the second response; None without one.
    over_pictures : the standard errors of the effects over pictures; None if the response is not
        the accuracy, or if the networks' answers are not stored.
    final : what became of the final training; None if the study has none.
    changes : what the Gaussian process expects of one change of the chosen cell; empty without one,
        or if nothing was learned.
    lead : of the chosen cell over the best other one, over seeds and pictures; None likewise.
    tracking : ``tracking_uri``, MLflow's address, and ``run_id``, the parent run.
    links : its addresses in MLflow's pages.
    """

    study: Study
    data: str
    classes: Mapping[str, int]
    effects: Effects | None
    decision: Decision | None
    grid: pd.DataFrame
    selection: Selection
    registered: Registered | None
    next_moves: tuple[NextMove, ...]
    tracking: Mapping[str, str]
    links: StudyLinks
    nothing_learned: NothingLearned | None = None
    lengths: RankingAtLengths | None = None
    second: SecondFindings | None = None
    over_pictures: OverPictures | None = None
    lead: Lead | None = None
    changes: tuple[Change, ...] = ()
    final: FinalTraining | None = None

    def grid_runs(self, runs: pd.DataFrame) -> pd.DataFrame:
        """Return the runs of full length of the refined cells, from all runs of the study."""
        names = [factor.name for factor in self.study.factor_list]
        whole = procedure.full_length(self.study.rules, runs)
        return whole.merge(self.grid[names], on=names)


def outcome_of(execution: Execution) -> Outcome:
    """Return a study's findings, computed from its runs in MLflow by the rules of the current code.

    Raises
    ------
    UserError
        If there is a screen, and it has no finished run.
    """
    study, children = execution.study, execution.children()
    screen, runs = execution.table(children, "screen"), execution.table(children)
    effects = None if study.rules.design is None else analyse_runs(study, screen)
    registered = read_registered(execution)
    selection = select_cell(study, runs, execution.facts.images_of(study.measured))
    whole = procedure.full_length(study.rules, runs)
    refined = procedure.full_length(study.rules, execution.table(children, "refine"))
    judged = runs_that_show_learning(study.rules, runs, screen)
    final = final_training(execution, selection, children)
    # A final training that is not better shows that a longer one does not help.
    longest = whole if final is None else execution.table(children, FINAL)
    helps = final is None or final.is_better
    curves = _curves_of_cell(execution, longest, selection.chosen) if helps else []
    # A study of a version before 0.3 was continued, and has a winner.
    stopped = None if registered else nothing_learned(study, judged, runs, execution.facts)
    return Outcome(
        study,
        execution.facts.pictures,
        _classes(execution),
        effects,
        None if effects is None else procedure.decide(study.rules, effects),
        grid_table(refined, study),
        selection,
        registered,
        next_moves(study.rules, effects, selection, curves),
        {"tracking_uri": execution.tracker.settings.tracking_uri, "run_id": execution.run_id},
        execution.links,
        stopped,
        ranking_at_lengths(study.rules, runs),
        second_findings(study.rules, screen, selection),
        None if effects is None else _effects_on_other_pictures(execution, effects),
        _lead(execution, selection, runs),
        () if stopped else _changes(study, runs, selection),
        final,
    )


def _changes(study: Study, runs: pd.DataFrame, selection: Selection) -> tuple[Change, ...]:
    """Return the changes of the chosen cell; none without a process, or if nothing is known."""
    if study.rules.trainings is None or selection.all_collapsed or selection.all_equal:
        return ()
    if len(runs) > MOST_RUNS:
        return ()
    return tuple(changes_of_cell(study.rules, runs, selection.chosen))


def _effects_on_other_pictures(execution: Execution, effects: Effects) -> OverPictures | None:
    if execution.study.response != ACCURACY:
        return None
    try:
        return effects_on_other_pictures(execution, effects)
    except UserError:  # a run's answers are not stored: an old study, or a table of runs
        return None


def _lead(execution: Execution, selection: Selection, runs: pd.DataFrame) -> Lead | None:
    try:
        return lead_on_other_pictures(execution, selection, runs)
    except UserError:
        return None


def _curves_of_cell(
    execution: Execution, runs: pd.DataFrame, cell: Mapping[str, Level]
) -> list[tuple[float, ...]]:
    """Return the response by epoch of each finished run of a cell."""
    study = execution.study
    trained = runs_of_cell(runs[runs[study.response].notna()], cell)
    reused = trained["reused_from"].fillna("").astype(str)
    # A run that was reused has no epochs of its own.
    run_ids = reused.where(reused.ne(""), trained["run_id"])
    return [metric_history(execution.tracker, run_id, study.response) for run_id in run_ids]


def _classes(execution: Execution) -> dict[str, int]:
    logged = execution.tracker.read_json(execution.run_id, PICTURES)
    if logged is None:
        return {}
    totals = (sum(own) for own in zip(*logged["counts"].values(), strict=True))
    return dict(zip(logged["classes"], totals, strict=True))


def grid_table(runs: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return one row per cell: its levels, ``n``, ``mean``, ``sd`` of the response; best first."""
    names = [factor.name for factor in study.factor_list]
    grouped = runs.groupby(names, observed=True)[study.response]
    table = grouped.agg(n="count", mean="mean", sd="std").reset_index()
    lower = study.measured.lower
    return table.sort_values("mean", ascending=lower, ignore_index=True)
