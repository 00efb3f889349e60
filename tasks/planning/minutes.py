"""How many trainings fit into the minutes of a study, and how many cells are chosen at once."""

import math
from collections.abc import Sequence
from dataclasses import replace

from analysis.search.budget import least_budget
from analysis.search.procedure import SearchRules
from tasks.errors import UserError
from tasks.languages import counted
from tasks.planning.past_runs import past_runs
from tasks.planning.probe import probe_study
from tasks.progress import Progress
from tasks.search.stages import StageCost, refined_at_once, stage_costs, whole_length
from tasks.study.replicates import FINAL
from tasks.study.study_file import MAX_BUDGET, MAX_PARALLEL, Study
from tasks.tracking.execution import earlier_study
from tasks.tracking.tracker import Tracker
from tasks.training.devices import Device, available_devices

#: With all of n parts of a CPU, a training is n to this power times as fast as with one of them:
#: 1.62 times with two. Measured with two, by short trainings (`infra/benchmarks/divided_cpu.py`, 2
#: divided by its ratios): 1.4 for the modern network, 1.7 for the published one; and 1.7 in a study
#: of the modern network with a long final training.
GAIN_OF_CORES = 0.7


def resolve_size(study: Study, tracker: Tracker, progress: Progress, version: str) -> Study:
    """Return a study with the trainings that its minutes are enough for, and its `parallel`.

    An earlier execution of this study on this dataset version has both already: they are used
    again, so that a study that was cut off continues with the same cells, also on another machine.
    Otherwise the seconds of one training are those of earlier runs on this machine, or of a few
    epochs on drawn pictures; and as many cells are chosen at once as the study says, or as there
    are devices.

    Parameters
    ----------
    study : to be carried out; of the published procedure it is returned as it is.
    tracker : the connection to MLflow.
    progress : prints what was found.
    version : the dataset version.

    Raises
    ------
    UserError
        If no training fits, if the trainings that fit are too few for any design, or if it cannot
        be found out how long one takes.
    """
    if study.method != "budget":
        return study
    earlier = earlier_study(tracker, study, version)
    # Earlier versions had no such setting.
    found = study.parallel if earlier is None else earlier.parallel or 1
    parallel = found or usual_parallel(len(available_devices()))
    study = study.model_copy(update={"parallel": parallel})
    if study.minutes is None:
        return study
    if earlier is not None and earlier.budget is not None:
        return study.model_copy(update={"budget": earlier.budget})
    return _with_known_seconds(study, tracker, progress)


def _with_known_seconds(study: Study, tracker: Tracker, progress: Progress) -> Study:
    """Return a study with minutes with its budget, after it is known how long a training takes."""
    settings = tracker.settings
    seconds = past_runs(settings, study).seconds
    source = "as in earlier runs on this machine"
    if seconds is None:
        progress.print_line("minutes: timing a few epochs on drawn pictures (about 20 s)")
        probe = probe_study(study, settings)
        seconds, source = probe.seconds, "extrapolated from a few epochs on drawn pictures"
        if seconds is None:
            raise UserError(
                f"study {study.name}: minutes {study.minutes:g}: how long a training takes is not "
                f"known ({probe.fault}); set budget, the number of trainings, instead"
            )
    devices = available_devices(study.parallel)
    done = with_trainings(study, seconds, len(devices), speed_of_final(devices))
    progress.print_line(
        f"minutes: {study.minutes:g}, enough for {counted(done.trainings, 'training')} of "
        f"{seconds:.0f} s, {source}"
    )
    return done


def usual_parallel(devices: int) -> int:
    """Return how many cells are chosen at once by default: one for each device."""
    return min(devices, MAX_PARALLEL)


def rules_on_devices(study: Study, devices: int) -> SearchRules:
    """Return the rules of a search, as a machine with these devices would begin it."""
    rules = study.rules
    if study.method != "budget" or study.parallel is not None:
        return rules
    return replace(rules, parallel=usual_parallel(devices))


def expected_minutes(
    study: Study, rules: SearchRules, seconds: float, devices: int, final_speed: float
) -> tuple[float, float]:
    """Return the minutes of the fewest and the most trainings.

    A stage begins when the one before has ended, so that three trainings take as long on two
    devices as four.

    Parameters
    ----------
    rules : of the search, with the cells that it chooses at once.
    seconds : of one training of the whole length; if the length is a factor, of a middle length.
    devices : how many replicates train at once.
    final_speed : see `speed_of_final`.
    """
    whole = whole_length(study, rules)
    fewest = most = 0.0
    for stage in stage_costs(study, rules):
        if stage.stage == FINAL:
            length = stage.most_epochs / whole / final_speed
            fewest, most = fewest + length, most + length
            continue
        limit = refined_at_once(rules) if stage.stage == "refine" else None
        at_once = min(devices, limit or devices)
        if "epochs" in study.factors:
            lengths: tuple[float, float] = stage.fewest, stage.most
        else:
            lengths = stage.fewest_epochs / whole, stage.most_epochs / whole
        fewest += _on_devices(stage.fewest, lengths[0], at_once)
        most += _on_devices(stage.most, lengths[1], at_once)
    return fewest * seconds / 60, most * seconds / 60


def _on_devices(trainings: int, lengths: float, at_once: int) -> float:
    """Return how long a stage takes, in trainings of the whole length.

    Parameters
    ----------
    lengths : of all of its trainings together, in the same unit.
    """
    return math.ceil(trainings / at_once) * lengths / trainings if trainings else 0.0


def mean_lengths(costs: Sequence[StageCost], devices: Sequence[Device]) -> dict[str, float]:
    """Return the epochs of one training of each stage.

    While the final training runs, no other one does: it counts as what the devices of the search
    would train in that time.
    """
    lengths = {cost.stage: cost.most_epochs / cost.most for cost in costs}
    if FINAL in lengths:
        lengths[FINAL] *= len(devices) / speed_of_final(devices)
    return lengths


def speed_of_final(devices: Sequence[Device]) -> float:
    """Return how many times as fast the final training is as one on a device of the search.

    It has the whole CPU, or one GPU.
    """
    return 1.0 if devices[0].gpu else float(len(devices) ** GAIN_OF_CORES)


def with_trainings(
    study: Study, seconds: float | None, devices: int, final_speed: float = 1.0
) -> Study:
    """Return a study with minutes with the budget that they are enough for; others as they are.

    Parameters
    ----------
    study : to be planned.
    seconds : of one training of the whole length; None if not known.
    devices : how many replicates train at once.
    final_speed : see `speed_of_final`.

    Raises
    ------
    UserError
        If no training fits, or too few for any design.
    """
    if study.minutes is None or study.budget is not None or seconds is None:
        return study
    least = least_budget(study.ranges, study.full_epochs, screen=study.screen)
    final = (study.final_epochs or 0) / study.training.epochs / final_speed
    budget = min(MAX_BUDGET, math.floor((study.minutes * 60 / seconds - final) * devices))

    def sized(trainings: int) -> tuple[Study, float]:
        """Return the study with this budget, and the minutes that it takes at most."""
        done = study.model_copy(update={"budget": trainings})
        rules = rules_on_devices(done, devices)
        return done, expected_minutes(done, rules, seconds, devices, final_speed)[1]

    while budget >= least:
        done, minutes = sized(budget)
        if round(minutes, 6) <= study.minutes:
            return done
        # One at a time: it takes longer by at most one round of each stage.
        budget -= 1
    needed = math.ceil(10 * sized(least)[1]) / 10
    fit = f"{budget} trainings fit" if budget > 1 else "one fits" if budget > 0 else "none fits"
    fit += f" beside the final training of {study.final_epochs} epochs" if final else ""
    raise UserError(
        f"study {study.name}: minutes {study.minutes:g}: one training takes about "
        f"{seconds:.0f} s here, so {fit}, and {len(study.factors)} factors need at least "
        f"{least}; give at least {needed:g} minutes, or fewer epochs, pictures or factors"
    )
