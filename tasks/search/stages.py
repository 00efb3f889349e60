"""How many trainings each stage of a study has."""

from analysis.search import procedure
from analysis.search.procedure import SearchRules
from tasks.study.study_file import Study


def stage_sizes(rules: SearchRules) -> dict[str, int]:
    """Return the number of trainings of each stage, at most, in the order of the stages.

    What the refinement and the confirmation train depends on the results.
    """
    return {
        "pilot": len(procedure.pilot_runs(rules)),
        "screen": len(procedure.screen_runs(rules)),
        "refine": rules.most_refined,
        "confirm": rules.most_confirmed,
    }


def study_as_line(study: Study) -> str:
    """Return what a study will train, as one line."""
    if study.minutes is not None and study.budget is None:
        return f"Study {study.name}: {study.minutes:g} minutes of training"
    sizes = {name: size for name, size in stage_sizes(study.rules).items() if size}
    stages = ", ".join(f"{name} {size}" for name, size in sizes.items())
    return f"Study {study.name}: at most {sum(sizes.values())} trainings ({stages})"
