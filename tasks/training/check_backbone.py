"""Building a pretrained network once before a study trains: its weights are there, and they fit."""

import os
from multiprocessing.connection import Connection
from pathlib import Path

from models.errors import BuilderError
from models.networks.build_network import build_from
from models.spec import PRETRAINED_BUILDER, ReplicateSpec
from tasks.errors import SlotDiedError, StudyError
from tasks.processes.child import follow_parent
from tasks.study.backbone import distinct_specs
from tasks.study.study_file import Study
from tasks.training.devices import Device, bind_to_device
from tasks.training.slot_child import fork_server_context, redirect_output


def check_backbone(study: Study) -> None:
    """Build the network of each value of ``unfreeze``, in a child process that has Keras.

    Weights with an address are downloaded here, so that no two trainings download them at once.

    Raises
    ------
    StudyError
        If a network cannot be built, with the reason.
    SlotDiedError
        If the child process died.
    """
    if study.model.builder != PRETRAINED_BUILDER:
        return
    context = fork_server_context()
    parent_end, child_end = context.Pipe()
    specs = distinct_specs(study)
    process = context.Process(target=_build_all, args=(child_end, specs), daemon=True)
    process.start()
    child_end.close()
    try:
        reason = parent_end.recv()
    except EOFError:
        process.join()
        raise SlotDiedError(
            f"study {study.name}: the process that builds the backbone ended with status "
            f"{process.exitcode}; if there was not enough memory, take a smaller backbone"
        ) from None
    finally:
        process.kill()
        process.join()
    if reason:
        raise StudyError(f"study {study.name}: {reason}")


def _build_all(pipe: Connection, specs: list[ReplicateSpec]) -> None:
    """Build the network of each spec, and send why one cannot be built; empty if all can."""
    follow_parent()
    redirect_output(Path(os.devnull))
    # On the CPU: a GPU may be training another study.
    bind_to_device(Device("", 1))
    reason = ""
    for spec in specs:
        try:
            build_from(spec.model, spec.image_size, classes=2)
        except BuilderError as error:
            reason = str(error.__cause__ if isinstance(error.__cause__, BuilderError) else error)
            break
    pipe.send(reason)
