"""How many trainings each stage of a study has, and how long they are."""

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.search import procedure
from analysis.search.procedure import CellRun, SearchRules, ShortTrainings
from tasks.languages import counted
from tasks.study.replicates import FINAL
from tasks.study.study_file import Study


@dataclass(frozen=True)
class StageCost:
    """How many trainings a stage has, and how long they are.

    Attributes
    ----------
    stage : its name.
    fewest, most : trainings.
    fewest_epochs, most_epochs : of these trainings together.
    """

    stage: str
    fewest: int
    most: int
    fewest_epochs: int
    most_epochs: int


def stage_costs(study: Study, rules: SearchRules) -> list[StageCost]:
    """Return the cost of each stage that the rules have, in order.

    What the refinement and the confirmation train depends on the results. Cells that the screen
    trained are not repeated.

    Parameters
    ----------
    rules : of the search: those of the study, or as a machine would begin it.
    """
    known = [
        ("pilot", procedure.pilot_runs(rules)),
        ("screen", procedure.screen_runs(rules)),
    ]
    whole = whole_length(study, rules)
    if rules.short is None:
        refinement = _at_most("refine", rules.most_refined, whole)
    else:
        refinement = _of_two_lengths(rules, rules.short)
    stages = [
        *(_known(stage, [epochs_of(study, run) for run in runs]) for stage, runs in known),
        refinement,
        _at_most("confirm", rules.most_confirmed, whole),
        _known(FINAL, [] if study.final_epochs is None else [study.final_epochs]),
    ]
    return [stage for stage in stages if stage.most]


def _known(stage: str, epochs: Sequence[int]) -> StageCost:
    return StageCost(stage, len(epochs), len(epochs), sum(epochs), sum(epochs))


def _at_most(stage: str, runs: int, epochs: int) -> StageCost:
    return StageCost(stage, 0, runs, 0, runs * epochs)


def _of_two_lengths(rules: SearchRules, short: ShortTrainings) -> StageCost:
    """Return the cost of a refinement with short trainings, and with full ones after them."""
    more, cells = more_short_trainings(rules), rules.budget
    rest = short.full - short.epochs if short.continues else short.full
    return StageCost("refine", 0, more + cells, 0, more * short.epochs + cells * rest)


def more_short_trainings(rules: SearchRules) -> int:
    """Return the number of short trainings of the refinement; 0 if all have full length."""
    if rules.short is None:
        return 0
    before = len(procedure.pilot_runs(rules)) + len(procedure.screen_runs(rules))
    return max(0, rules.short.number - before)


def refined_at_once(rules: SearchRules) -> int | None:
    """Return how many replicates of the refinement train at once; None if all may.

    Only those of a grid are all known before the first is trained.
    """
    stepwise = rules.trainings is not None or rules.method != "grid"
    return rules.parallel * rules.refine_replicates if stepwise else None


def epochs_of(study: Study, run: CellRun) -> int:
    """Return how many epochs a run trains: its own number, or that of its cell or the study."""
    own = getattr(run, "epochs", None)
    return int(own or run.levels.get("epochs", study.training.epochs))


def whole_length(study: Study, rules: SearchRules) -> int:
    """Return the epochs of the longest training of a search."""
    longest = (int(f.high) for f in rules.factors if f.name == "epochs")
    return next(longest, study.training.epochs)


def study_as_line(study: Study) -> str:
    """Return what a study will train, as one line."""
    if study.minutes is not None and study.budget is None:
        return f"Study {study.name}: {study.minutes:g} minutes of training"
    rules = study.rules
    costs, short = stage_costs(study, rules), rules.short
    stages = ", ".join(f"{cost.stage} {cost.most}" for cost in costs)
    lengths = (
        f", short ones of {short.epochs} and full ones of {short.full} epochs" if short else ""
    )
    trainings = counted(sum(cost.most for cost in costs), "training")
    return f"Study {study.name}: at most {trainings}{lengths} ({stages})"
