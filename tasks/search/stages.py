"""How many trainings each stage of a study has."""

from analysis.search import procedure
from analysis.search.procedure import SearchRules
from tasks.languages import counted
from tasks.study.replicates import FINAL
from tasks.study.study_file import Study


def stage_sizes(rules: SearchRules, *, final: bool = False) -> dict[str, int]:
    """Return the number of trainings of each stage, at most, in the order of the stages.

    What the refinement and the confirmation train depends on the results.

    Parameters
    ----------
    rules : of the search.
    final : whether the chosen cell is trained once more.
    """
    pilot, screen = len(procedure.pilot_runs(rules)), len(procedure.screen_runs(rules))
    # With two lengths, the refinement has short trainings before those of full length.
    short = max(0, rules.short.number - pilot - screen) if rules.short else 0
    return {
        "pilot": pilot,
        "screen": screen,
        "refine": short + rules.most_refined,
        "confirm": rules.most_confirmed,
        **({FINAL: 1} if final else {}),
    }


def study_as_line(study: Study) -> str:
    """Return what a study will train, as one line."""
    if study.minutes is not None and study.budget is None:
        return f"Study {study.name}: {study.minutes:g} minutes of training"
    rules = study.rules
    final = study.final_epochs is not None
    sizes = {name: size for name, size in stage_sizes(rules, final=final).items() if size}
    stages = ", ".join(f"{name} {size}" for name, size in sizes.items())
    short = rules.short
    lengths = (
        f", short ones of {short.epochs} and full ones of {short.full} epochs" if short else ""
    )
    trainings = counted(sum(sizes.values()), "training")
    return f"Study {study.name}: at most {trainings}{lengths} ({stages})"
