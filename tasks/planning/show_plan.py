"""The plan of a study as text and as JSON."""

import math
from dataclasses import asdict
from typing import Any

from analysis.designs.mixed_levels import count_of_cells
from analysis.designs.summary import design_as_json, design_as_text
from analysis.effects.power import DetectableEffect
from analysis.factors import cell_name, show
from analysis.runs.response import DEFAULT_IMBALANCED, IMBALANCED
from analysis.search.budget import FACTORIAL
from models.spec import PRETRAINED_BUILDER
from tasks.languages import counted
from tasks.planning.plan_study import StudyPlan
from tasks.planning.probe import Probe
from tasks.search.stages import StageCost, epochs_of, more_short_trainings
from tasks.study.replicates import FINAL
from tasks.study.study_file import Study
from tasks.wording.power import detectable_as_json, detectable_as_text
from tasks.wording.terminal import bullets, underlined, wrapped

METHODS = {"grid": "refined grid", "gp": "Gaussian process", "surface": "response surface"}


def plan_as_json(plan: StudyPlan) -> dict[str, Any]:
    """Return a plan as plain JSON types; what is unknown is null."""
    (fewest, most), minutes = plan.trainings, plan.minutes
    by_stage = {stage.stage: stage for stage in plan.stages}
    return {
        "study": plan.study.name,
        "response": plan.study.response,
        "second": plan.study.second,
        "design": plan.design and design_as_json(plan.design),
        "order": [
            {
                "stage": stage,
                "levels": run.levels,
                "replicate": run.number,
                "centre": run.centre,
                "epochs": epochs_of(plan.study, run),
            }
            for stage, runs in (("pilot", plan.pilot), ("screen", plan.screen))
            for run in runs
        ],
        "trainings": {
            "pilot": len(plan.pilot),
            "screen": len(plan.screen),
            "refine_at_most": by_stage["refine"].most if "refine" in by_stage else 0,
            "confirm_at_most": by_stage["confirm"].most if "confirm" in by_stage else 0,
            "final": by_stage[FINAL].most if FINAL in by_stage else 0,
            "at_least": fewest,
            "at_most": most,
        },
        "stages": [asdict(stage) for stage in plan.stages],
        "epochs": plan.study.training.epochs,
        "epochs_in_all": {"at_least": plan.epochs[0], "at_most": plan.epochs[1]},
        "full_length_trainings": {
            "at_least": plan.full_trainings[0],
            "at_most": plan.full_trainings[1],
        },
        "minutes": None if minutes is None else {"at_least": minutes[0], "at_most": minutes[1]},
        "seconds_per_training": plan.seconds,
        "seconds_from": _origin_of_seconds(plan),
        "probe": plan.probe and asdict(plan.probe),
        "devices": plan.devices,
        "seed_spread": plan.past.spread,
        "seed_spread_df": plan.past.spread_df,
        "smallest_effect": _detectable_as_json(plan, plan.detectable),
        "smallest_effect_with_twice_the_replicates": _detectable_as_json(
            plan, plan.detectable_doubled
        ),
    }


def _origin_of_seconds(plan: StudyPlan) -> str | None:
    if plan.past.seconds is not None:
        return "past runs"
    return None if plan.seconds is None else "probe"


def _detectable_as_json(plan: StudyPlan, found: DetectableEffect) -> dict[str, Any]:
    return detectable_as_json(found, plan.study.alpha, plan.past.spread)


#: Settings against overfitting, which slow down the first epochs.
PAYS_LATE = ("augment", "mixup", "cutmix", "erase", "dropout", "stochastic_depth")


def plan_as_text(plan: StudyPlan) -> str:
    """Return what a terminal prints."""
    lines = [
        wrapped(f"Study {plan.study.name}: {_what_was_done(plan)}"),
        wrapped(_responses(plan.study)),
        underlined("Screen"),
        *_design(plan),
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


def _responses(study: Study) -> str:
    """Return what the study is judged by, and how it chooses."""
    lower = ", of which lower is better" if study.measured.lower else ""
    text = f"Response: {study.response}{lower}"
    if "response" not in study.model_fields_set:
        text += (
            f"; {DEFAULT_IMBALANCED} if the largest class has more than {IMBALANCED:g} times the "
            "images of the smallest"
        )
    if study.second is None:
        return f"{text}."
    pick, rule = study.rules.pick, ""
    if pick is not None and pick.within is not None:
        rule = f"; chosen is the lowest of the cells at most {pick.within:g} worse than the best"
    elif pick is not None:
        rule = f"; only a cell with at most {pick.at_most:g} is chosen"
    return f"{text}. Second response: {study.second}, of which lower is better{rule}."


def _what_was_done(plan: StudyPlan) -> str:
    """Return what this command did, besides reading."""
    if plan.probe is None or not plan.probe.cells:
        return "a plan. No run is started, and nothing is stored."
    epochs = sum(cell.epochs for cell in plan.probe.cells)
    return (
        f"a plan. No run is started, and nothing is stored; {counted(epochs, 'epoch')} on drawn "
        f"pictures took {plan.probe.seconds_spent:.0f} s, to find out how long a training takes."
    )


def _design(plan: StudyPlan) -> list[str]:
    if plan.design is None:
        text = f"{len(plan.screen)} cells of a Latin hypercube"
        least = plan.study.least_factorial_trainings
        if least is not None:
            text += (
                ": a two-level design takes too much of this budget; it is the default from a "
                f'budget of {least} on, and with screen = "{FACTORIAL}"'
            )
        return [wrapped(f"{text}.")]
    return [design_as_text(plan.design)]


def _stages(plan: StudyPlan) -> list[str]:
    return [_stage(plan, stage) for stage in plan.stages]


def _stage(plan: StudyPlan, stage: StageCost) -> str:
    name = METHODS[plan.rules.method] if stage.stage == "refine" else stage.stage
    most = "at most " if stage.most > stage.fewest else ""
    return f"{name}: {most}{stage.most}{_about_stage(plan, stage.stage)}"


def _about_stage(plan: StudyPlan, stage: str) -> str:
    """Return what a stage does with its trainings, as the end of a line."""
    rules = plan.rules
    by_budget = rules.trainings is not None
    match stage:
        case "pilot":
            return (
                "; it narrows the levels of the screen; the levels below are the ends of the ranges"
            )
        case "screen":
            return _why_no_full_design(plan)
        case "refine":
            rounds = rules.rounds if rules.method == "grid" else 1
            more = f", in {rounds} rounds" if rounds > 1 else ""
            cells = counted(rules.budget, "cell")
            size = f" ({cells}, {counted(rules.refine_replicates, 'seed')} each{more})"
            return _about_process(plan) if by_budget else size
        case "final":
            return f", of the chosen cell, with {plan.study.final_epochs} epochs"
        case _:
            cells = counted(rules.confirm_cells, "cell")
            size = f" ({cells}, {counted(rules.confirm_replicates, 'fresh seed')} each)"
            return f", with fresh seeds for the best {cells} in turn" if by_budget else size


def _about_process(plan: StudyPlan) -> str:
    short, parallel = plan.rules.short, plan.rules.parallel
    where = (
        f"{'one cell' if parallel == 1 else f'{parallel} cells'} at a time, anywhere in the ranges"
    )
    if short is None:
        return f", {where}"
    goes_on = "continue to" if short.continues else "are trained again for"
    return (
        f", {where}: {more_short_trainings(plan.rules)} of {counted(short.epochs, 'epoch')}, then "
        f"the {counted(plan.rules.budget, 'most promising cell')} {goes_on} {short.full} epochs"
    )


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
    no_choice = plan.study.method == "budget" or plan.study.screen_cells is not None
    if no_choice or not plan.study.design.p:
        return ""
    cells, used = count_of_cells(plan.rules.factors), plan.study.design.n_runs
    return (
        f"; the full design has {cells:,} cells, so the screen is the smallest suitable fraction, "
        f"{used} cells; screen_cells sets another number"
    )


def _totals(plan: StudyPlan) -> list[str]:
    lengths = sorted({epochs_of(plan.study, run) for run in (*plan.pilot, *plan.screen)})
    if plan.rules.short is not None:
        lengths.append(plan.rules.short.full)
    if plan.study.final_epochs is not None:
        lengths.append(plan.study.final_epochs)
    epochs = (
        f"{lengths[0]} epochs" if len(lengths) == 1 else f"{lengths[0]} to {lengths[-1]} epochs"
    )
    total = (
        f"In all {_range(*plan.trainings)} trainings of {epochs}, {_range(*plan.epochs)} epochs "
        "together. Runs that MLflow has already are not trained again."
    )
    return [total, *_about_length(plan), *_minutes(plan), *_about_cores(plan)]


def _about_length(plan: StudyPlan) -> list[str]:
    """Return which factors need whole trainings to show what they are worth, if some are short."""
    slow = [name for name in plan.study.factors if name in PAYS_LATE]
    if plan.rules.short is None or not slow:
        return []
    names = ", ".join(slow)
    text = (
        f"Short trainings favour networks that learn fast, and {names} may pay only in long ones: "
        "short_trainings = false gives every training its full length."
    )
    return [text]


def _about_cores(plan: StudyPlan) -> list[str]:
    """Return how several replicates could train at once on this CPU, if only one does."""
    study, most = plan.study, plan.most_devices
    one_at_a_time = study.method == "budget" and study.parallel is None and plan.devices == 1
    # The features of a frozen backbone are computed once, with all cores.
    if most == 1 or not one_at_a_time or study.model.builder == PRETRAINED_BUILDER:
        return []
    text = (
        f"One training uses all cores of this CPU. parallel = {most} trains {most} cells at once, "
        "which is faster if the network is small."
    )
    return [text]


def _range(fewest: float, most: float) -> str:
    low, high = f"{fewest:,.0f}", f"{most:,.0f}"
    return low if low == high else f"{low} to {high}"


def _minutes(plan: StudyPlan) -> list[str]:
    if plan.minutes is None or plan.seconds is None:
        return [f"Minutes: unknown, because {_why_unknown(plan)}."]
    devices = f", {plan.devices} trainings at once" if plan.devices > 1 else ""
    one = f"one training of {plan.seconds:.1f} s"
    if plan.past.seconds is not None:
        source = f"the median of {counted(plan.past.trained, 'run')} on this machine"
        return [f"Minutes: {_range(*plan.minutes)}{devices}, from {one}, {source}."]
    return [f"Minutes: {_range(*plan.minutes)}{devices}, from {one}. {_probe(plan.probe)}"]


def _why_unknown(plan: StudyPlan) -> str:
    past = "no earlier run of this study in MLflow was trained on this machine"
    if plan.probe is None:
        return f"{past}, and none was timed (--no-probe)"
    return f"{past}, and a training could not be timed: {plan.probe.fault}"


def _timed(epochs: int) -> str:
    only_first = ", with the compilation, so that this is too much" if epochs == 1 else ""
    return f"{counted(epochs, 'epoch')} timed{only_first}"


def _probe(probe: Probe | None) -> str:
    """Return where the seconds of a probe come from."""
    if probe is None:
        return ""
    cells = "; ".join(
        f"{cell_name(cell.levels)} {cell.seconds:.1f} s ({_timed(cell.epochs)})"
        for cell in probe.cells
    )
    return (
        f"This is extrapolated, because no earlier run of this study was trained on this machine: "
        f"from epochs of {probe.pictures:,} drawn training pictures to the study's about "
        f"{probe.study_pictures:,}: {cells}."
    )


def _power(plan: StudyPlan) -> list[str]:
    found, doubled = plan.detectable, plan.detectable_doubled
    if plan.design is None:
        return [
            (
                "No effects are fitted to a Latin hypercube. The report says what one change of "
                "the chosen cell is expected to do."
            )
        ]
    lines = [detectable_as_text(found, plan.study.alpha, _size(plan, found))]
    if math.isfinite(doubled.size):
        twice = 2 * plan.rules.replicates
        # A study with a budget has no key for the seeds of its screen.
        by_budget = plan.study.method == "budget"
        key = 'method = "published" and replicates' if by_budget else "replicates"
        lines.append(
            f"With {key} = {twice}, twice as many: an effect of {_size(plan, doubled)}, for "
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
