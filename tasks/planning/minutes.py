"""How many trainings fit into the minutes of a study, and how many cells are chosen at once."""

import math

from analysis.search.budget import least_budget
from tasks.errors import UserError
from tasks.languages import counted
from tasks.planning.past_runs import past_runs
from tasks.planning.probe import probe_study
from tasks.progress import Progress
from tasks.study.study_file import MAX_BUDGET, MAX_PARALLEL, Study
from tasks.tracking.execution import earlier_study
from tasks.tracking.tracker import Tracker
from tasks.training.devices import available_devices


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
    done = with_trainings(study, seconds, len(available_devices(study.parallel)))
    progress.print_line(
        f"minutes: {study.minutes:g}, enough for {counted(done.trainings, 'training')} of "
        f"{seconds:.0f} s, {source}"
    )
    return done


def usual_parallel(devices: int) -> int:
    """Return how many cells are chosen at once by default: one for each device."""
    return min(devices, MAX_PARALLEL)


def with_trainings(study: Study, seconds: float | None, devices: int) -> Study:
    """Return a study with minutes with the budget that they are enough for; others as they are.

    Parameters
    ----------
    study : to be planned.
    seconds : of one training of the whole length; None if not known.
    devices : how many replicates train at once.

    Raises
    ------
    UserError
        If no training fits, or too few for any design.
    """
    if study.minutes is None or study.budget is not None or seconds is None:
        return study
    final = (study.final_epochs or 0) / study.training.epochs
    budget = min(MAX_BUDGET, math.floor(study.minutes * 60 * devices / seconds - final))
    least = least_budget(study.ranges, study.full_epochs, screen=study.screen)
    if budget < least:
        needed = math.ceil((least + final) * seconds / devices / 6) / 10
        fit = f"{budget} trainings fit" if budget > 1 else "one fits" if budget > 0 else "none fits"
        fit += f" beside the final training of {study.final_epochs} epochs" if final else ""
        raise UserError(
            f"study {study.name}: minutes {study.minutes:g}: one training takes about "
            f"{seconds:.0f} s here, so {fit}, and {len(study.factors)} factors need at least "
            f"{least}; give at least {needed:g} minutes, or fewer epochs, pictures or factors"
        )
    return study.model_copy(update={"budget": budget})
