"""`factorgrid plan`."""

from pathlib import Path

import click

from flows.commands.completion import study_files
from flows.commands.options import (
    as_json_option,
    budget_options,
    print_result,
    setting_options,
    study_data_options,
    terminal_text,
)


@click.command()
@click.argument("study", default="quick", shell_complete=study_files)
@study_data_options
@budget_options
@setting_options
@click.option(
    "--no-probe",
    is_flag=True,
    help="Without earlier runs of the study on this machine, do not time a few epochs on drawn "
    "pictures, which takes about 20 seconds.",
)
@as_json_option
def plan(
    study: str,
    *,
    data: Path | None,
    per_class: int | None,
    image_size: int | None,
    budget: int | None,
    minutes: float | None,
    replaced: tuple[str, ...],
    name: str | None,
    no_probe: bool,
    as_json: bool,
) -> None:
    """Show what a study will do, and what it can find; no run is started, and nothing is stored.

    STUDY is a built-in study (quick, dogs-vs-cats, dogs-vs-cats-plain,
    transfer, paper) or a TOML file. The design with its alias
    chains, the trainings of each stage and their order, the expected minutes, and the smallest
    effect that the screen finds with a chance of 80 %. The minutes and the spread between seeds are
    those of the last execution of the study, as far as MLflow has one; if no run of it was trained
    on this machine, a few epochs on drawn pictures are timed.
    """
    from tasks.environment import prepare_environment

    settings = prepare_environment()
    from tasks.planning.past_runs import past_runs
    from tasks.planning.plan_study import plan_on_this_machine
    from tasks.planning.probe import probe_study
    from tasks.planning.show_plan import plan_as_json, plan_as_text
    from tasks.study.custom_network import with_builder
    from tasks.study.study_file import load_study

    source = str(data) if data else None
    read = with_builder(
        load_study(
            study,
            budget=budget,
            minutes=minutes,
            replaced=replaced,
            name=name,
            source=source,
            per_class=per_class,
            image_size=image_size,
        )
    )
    past = past_runs(settings, read)
    probe = None if no_probe or past.seconds is not None else probe_study(read, settings)
    planned = plan_on_this_machine(read, past, probe)
    with terminal_text():
        text = plan_as_text(planned)
    print_result(plan_as_json(planned), text, as_json=as_json)
