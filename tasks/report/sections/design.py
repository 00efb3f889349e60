"""Report section: the design of the screen."""

from typing import Any

from analysis.factors import show
from tasks.report.source import ReportSource
from tasks.study.study_file import Study


def design_section(source: ReportSource) -> dict[str, Any]:
    """Return the values of the template's `design` section."""
    study, say = source.study, source.say
    design = study.design
    cells = design.n_runs
    runs = cells * study.replicates + study.centre_points
    screen = say(
        "fraction_text" if design.p else "design_text",
        relation=design.relation,
        cells=cells,
        replicates=study.replicates,
        centre=say("centre", n=study.centre_points) if study.centre_points else "",
        runs=runs,
    )
    refine = say(
        {"grid": "refine_text"}.get(study.refine.method, f"refine_text_{study.refine.method}"),
        budget=study.refine.budget,
        rounds=study.refine.rounds,
        confirm=study.confirm.replicates,
        most=study.confirm.cells,
    )
    return {"text": [*study.pilot.found, screen, refine], "fixed": _fixed(study)}


def _fixed(study: Study) -> str:
    settings = {**study.model.settings, **study.training.model_dump()}
    kept = {name: show(level) for name, level in settings.items() if name not in study.factors}
    return ", ".join(f"{name} = {level}" for name, level in kept.items())
