"""A study's findings as text for the terminal."""

from typing import Any

from analysis.effects.text import effects_table, wrapped
from analysis.factors import cell_name, show
from analysis.search.best_cell import selection_as_text as explain_selection
from models.spec import Scalar
from tasks.languages import translator
from tasks.registry.verdict import promotion_as_text
from tasks.report.outcome import Outcome
from tasks.search.refine import decision_with_method_as_text
from tasks.study.study_file import Study


def outcome_as_text(outcome: Outcome) -> str:
    """Return what a terminal prints: effects, decision, grid, winner, where to look."""
    parts = [
        _title(f"Study {outcome.study.name}: {outcome.data}"),
        *_piloted(outcome.study),
        _title("Effects (screen)"),
        effects_table(outcome.effects),
        _title("Decision"),
        *(
            wrapped(f"- {line}")
            for line in decision_with_method_as_text(outcome.study, outcome.decision)
        ),
        _title("Refined grid, best first"),
        _grid_in_words(outcome),
        _title("Winner"),
        *(wrapped(f"- {line}") for line in explain_selection(outcome.selection)),
        *_registered_in_words(outcome),
    ]
    return "\n".join(parts)


def _piloted(study: Study) -> list[str]:
    if not study.pilot.found:
        return []
    return [_title("Pilot"), *(wrapped(f"- {line}") for line in study.pilot.found)]


def _title(text: str) -> str:
    return f"\n{text}\n{'-' * len(text)}"


def _grid_in_words(outcome: Outcome) -> str:
    table = outcome.grid.copy()
    for factor in outcome.study.factor_list:
        table[factor.name] = [show(plain_level(level)) for level in table[factor.name]]
    return str(table.to_string(index=False, float_format=lambda x: f"{x:.4f}", na_rep="-"))


def plain_level(level: Any) -> Scalar:
    """Return a level as a plain Python value."""
    plain: Scalar = level.item() if hasattr(level, "item") else level
    return plain


def _registered_in_words(outcome: Outcome) -> list[str]:
    registered = outcome.registered
    if registered is None:
        return []
    uri, name, version = outcome.tracking["tracking_uri"], registered.name, registered.version
    look = "`factorgrid ui`, then http://127.0.0.1:5000" if not uri.startswith("http") else uri
    return [
        f"- {cell_name(outcome.selection.chosen)}: accuracy on the test images {registered.test}.",
        wrapped(
            f"- Registered as models:/{name}@{registered.alias} (version {version}). "
            f"{promotion_as_text(registered.verdict, translator('en'))}"
        ),
        _title("Where to look"),
        f"Every run, plot and model is in MLflow: {look}",
        f"The study's run: {outcome.tracking['run_id']}",
    ]
