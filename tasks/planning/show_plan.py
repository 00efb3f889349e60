"""The plan of a study as text and as JSON."""

import math
from typing import Any

from analysis.designs.mixed_levels import count_of_cells
from analysis.designs.summary import design_as_json, design_as_text
from analysis.effects.power import DetectableEffect
from analysis.factors import cell_name, show
from tasks.planning.plan_study import StudyPlan
from tasks.wording.terminal import bullets, underlined, wrapped

TESTS = {
    "pooled": "t-tests on {df} error degrees of freedom",
    "lenth": "Lenth's method, because too few cells are run twice",
    "none": "no test: too few runs",
}
METHODS = {"grid": "refined grid", "gp": "Gaussian process", "surface": "response surface"}


def plan_as_json(plan: StudyPlan) -> dict[str, Any]:
    """Return a plan as plain JSON types; what is unknown is null."""
    fewest, most = plan.trainings
    minutes = plan.minutes
    return {
        "study": plan.study.name,
        "design": design_as_json(plan.design),
        "order": [
            {"stage": stage, "levels": run.levels, "replicate": run.number, "centre": run.centre}
            for stage, runs in (("pilot", plan.pilot), ("screen", plan.screen))
            for run in runs
        ],
        "trainings": {
            "pilot": len(plan.pilot),
            "screen": len(plan.screen),
            "refine_at_most": plan.most_refined,
            "confirm_at_most": plan.most_confirmed,
            "at_least": fewest,
            "at_most": most,
        },
        "epochs": plan.study.training.epochs,
        "minutes": None if minutes is None else {"at_least": minutes[0], "at_most": minutes[1]},
        "seconds_per_training": plan.past.seconds,
        "devices": plan.devices,
        "seed_spread": plan.past.spread,
        "seed_spread_df": plan.past.spread_df,
        "smallest_effect": _detectable_as_json(plan, plan.detectable),
        "smallest_effect_with_twice_the_replicates": _detectable_as_json(
            plan, plan.detectable_doubled
        ),
    }


def _detectable_as_json(plan: StudyPlan, found: DetectableEffect) -> dict[str, Any]:
    size, spread = (found.size if math.isfinite(found.size) else None), plan.past.spread
    return {
        "power": found.power,
        "alpha": plan.study.alpha,
        "test": found.test,
        "error_df": found.error_df,
        "in_standard_deviations": size,
        "in_units_of_the_response": size * spread if size and spread else None,
    }


def plan_as_text(plan: StudyPlan) -> str:
    """Return what a terminal prints."""
    lines = [
        f"Study {plan.study.name}: nothing is trained by this command.",
        underlined("Screen"),
        design_as_text(plan.design),
        *map(wrapped, _conditions(plan)),
        underlined("Trainings"),
        *bullets(_stages(plan)),
        *map(wrapped, _totals(plan)),
        underlined("What the screen can find"),
        *map(wrapped, _power(plan)),
        underlined("Order of training"),
        *_order(plan),
    ]
    return "\n".join(lines)


def _stages(plan: StudyPlan) -> list[str]:
    rules = plan.rules
    lines = []
    if plan.pilot:
        lines.append(
            f"pilot: {len(plan.pilot)}; it narrows the levels of the screen, so the levels below "
            "are the ends of the ranges"
        )
    lines.append(f"screen: {len(plan.screen)}{_why_no_full_design(plan)}")
    rounds = f", in {rules.rounds} rounds" if rules.method == "grid" and rules.rounds > 1 else ""
    size = f"{_count(rules.budget, 'cell')}, {_count(rules.refine_replicates, 'seed')} each{rounds}"
    lines.append(f"{METHODS[rules.method]}: at most {plan.most_refined} ({size})")
    if plan.most_confirmed:
        cells = _count(rules.confirm_cells, "cell")
        seeds = _count(rules.confirm_replicates, "fresh seed")
        lines.append(f"confirm: at most {plan.most_confirmed} ({cells}, {seeds} each)")
    return lines


def _conditions(plan: StudyPlan) -> list[str]:
    """Return one line per factor that counts only with some values of others."""
    return [
        f"{factor.name} counts only with "
        + " and ".join(f"{name} = {' or '.join(map(show, known))}" for name, known in factor.when)
        + "; cells that differ in nothing else are trained once."
        for factor in plan.rules.factors
        if factor.when
    ]


def _why_no_full_design(plan: StudyPlan) -> str:
    """Return why the screen is a fraction although the study does not say how many cells it has."""
    if plan.study.screen_cells is not None or not plan.study.design.p:
        return ""
    cells, used = count_of_cells(plan.rules.factors), plan.study.design.n_runs
    return (
        f"; the full design has {cells:,} cells, so the screen is the smallest suitable fraction, "
        f"{used} cells; screen_cells sets another number"
    )


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'s' * (n != 1)}"


def _totals(plan: StudyPlan) -> list[str]:
    fewest, most = plan.trainings
    total = (
        f"In all {fewest} to {most} trainings of {plan.study.training.epochs} epochs. Runs that "
        "MLflow has already are not trained again."
    )
    if plan.minutes is None:
        return [total, "Minutes: unknown, because no earlier run of this study is in MLflow."]
    shortest, longest = plan.minutes
    devices = f" on {plan.devices} GPUs" if plan.devices > 1 else ""
    source = f"{plan.past.seconds:.1f} s per training, the median of {plan.past.trained} runs"
    return [total, f"Minutes: {shortest:.0f} to {longest:.0f}{devices}, at {source}."]


def _power(plan: StudyPlan) -> list[str]:
    found, doubled = plan.detectable, plan.detectable_doubled
    test = TESTS[found.test].format(df=found.error_df)
    if not math.isfinite(found.size):
        lines = [f"{test[0].upper()}{test[1:]}. Add replicates or cells."]
    else:
        chance = f"a chance of {found.power:.0%}, at {plan.study.alpha:.0%}"
        lines = [f"An effect of {_size(plan, found)} is called active with {chance}, by {test}."]
    if math.isfinite(doubled.size):
        twice = 2 * plan.rules.replicates
        lines.append(
            f"With replicates = {twice}, twice as many: an effect of {_size(plan, doubled)}, for "
            f"{len(plan.screen)} more trainings."
        )
    if plan.past.spread is None:
        lines.append(
            "A standard deviation is that of the response between seeds of one cell; it is unknown "
            "until the study has run cells twice."
        )
    else:
        lines.append(
            f"The spread between seeds is {plan.past.spread:.4f}, from earlier runs "
            f"({plan.past.spread_df} degrees of freedom)."
        )
    return lines


def _size(plan: StudyPlan, found: DetectableEffect) -> str:
    if plan.past.spread is None:
        return f"{found.size:.2f} standard deviations"
    return f"{found.size * plan.past.spread:.4f} of {plan.study.response}"


def _order(plan: StudyPlan) -> list[str]:
    runs = [("pilot", run) for run in plan.pilot] + [("screen", run) for run in plan.screen]
    width = len(str(len(runs)))
    return [
        f"{number:>{width}}  {stage:6}  {cell_name(run.levels)} #{run.number}"
        f"{'  (centre point)' if run.centre else ''}"
        for number, (stage, run) in enumerate(runs, 1)
    ]
