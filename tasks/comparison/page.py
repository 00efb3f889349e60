"""The result of a comparison with real training as an HTML page, in the languages of the report."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from analysis.factors import cell_name, show
from analysis.plots.comparison import best_so_far
from analysis.plots.words import Say, english
from tasks.comparison.result import FOLDER, ComparisonResult, effects_as_text, number_as_text
from tasks.errors import UserError
from tasks.languages import Translate, translator
from tasks.report.render import render_template
from tasks.report.svg import figure_for_page
from tasks.tracking.run_writer import save_png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: The figures: name -> the horizontal axis.
FIGURES: dict[str, Literal["trainings", "seconds"]] = {
    "best-by-trainings": "trainings",
    "best-by-seconds": "seconds",
}
#: The sections of the page: name -> the key of the title.
SECTIONS = {
    "delivered": "comparison_delivered",
    "factors": "comparison_factors",
    "compared": "comparison_compared",
}
#: Factors that have room beside each other on the page.
FACTORS_ABREAST = 4
#: With fewer searches of each tuner, the page says that small differences are chance.
FEW_SEARCHES = 5


def comparison_as_page(result: ComparisonResult, language: str = "en") -> str:
    """Return the result as one HTML page that loads nothing from other files or servers.

    Parameters
    ----------
    language : one of `tasks.languages.LANGUAGES`.

    Raises
    ------
    UserError
        If the language is not supported.
    """
    say = translator(language)
    names = [f.name for f in result.study.factor_list]
    tables, rows = _table(result, say)
    return render_template(
        "comparison.html",
        lang=language,
        say=say,
        title=say("comparison_title", study=result.study.name),
        byline=say(
            "comparison_byline", data=result.data_as_text(say), run=result.tracking["run_id"]
        ),
        short=_in_short(result, say),
        contents=[(name, say(key)) for name, key in SECTIONS.items()],
        tables=tables,
        rows=rows,
        explained=_explanation_of_columns(result, say),
        notes=result.notes(say),
        figures=_figures_of_page(result, say),
        effects=_effects(result, names, say),
        compared=_what_was_compared(result, say),
        searches=[
            {
                "tuner": row["tuner"],
                "repetition": row["repetition"],
                "cell": cell_name({name: row[name] for name in names}),
                "fresh": number_as_text(row["fresh"], 3),
            }
            for row in result.race.delivered.to_dict("records")
        ],
        command=_command(result),
    )


def comparison_figures(result: ComparisonResult) -> "dict[str, Figure]":
    """Return the figures by name: the best response so far, by trainings and by seconds."""
    return {name: _figure(result, name) for name in FIGURES}


def save_comparison(result: ComparisonResult, folder: Path, language: str = "en") -> None:
    """Write the page and the figures into a folder.

    Parameters
    ----------
    language : of the page; one of `tasks.languages.LANGUAGES`.

    Raises
    ------
    UserError
        If the folder cannot be written, or the language is not supported.
    """
    page = comparison_as_page(result, language)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{FOLDER}.html").write_text(page, encoding="utf-8")
        for name, figure in comparison_figures(result).items():
            save_png(figure, folder / f"{name}.png")
    except OSError as error:
        raise UserError(f"--plots {folder}: {error.strerror}; name another folder") from error


def _figures_of_page(result: ComparisonResult, say: Translate) -> list[tuple[str, str]]:
    """Return each figure as elements of a page, and its caption."""
    captions = {name: say(f"comparison_figure_{along}") for name, along in FIGURES.items()}
    return [
        (figure_for_page(partial(_figure, result, name, say=say), name, caption), caption)
        for name, caption in captions.items()
    ]


def _figure(
    result: ComparisonResult, name: str, width: float | None = None, say: Say = english
) -> "Figure":
    names, response = list(result.summary["tuner"]), result.study.response
    return best_so_far(result.curve, response, names, FIGURES[name], width, say)


def _in_short(result: ComparisonResult, say: Translate) -> list[str]:
    leader = result.leader
    if leader is None:
        return [say("comparison_none")]
    options = result.options
    texts = [
        say(
            "comparison_best",
            budget=options.budget,
            tuner=leader["tuner"],
            response=result.study.response,
            median=number_as_text(leader["fresh"], 3),
            least=number_as_text(leader["fresh_least"], 3),
            most=number_as_text(leader["fresh_most"], 3),
            searches=leader["n"],
            fresh=options.fresh,
        )
    ]
    if options.repetitions < FEW_SEARCHES:
        texts.append(say("comparison_chance", n=options.repetitions))
    return texts


def _table(
    result: ComparisonResult, say: Translate
) -> tuple[list[list[str]], list[dict[str, Any]]]:
    """Return the columns of each table, which has room in a narrow window, and a row per tuner.

    A row has ``tuner``, ``best`` (whether it is the first in the text) and a text per column.
    """
    leader = result.leader
    titles = [
        say("comparison_column_delivered"),
        say("comparison_column_range"),
        say("comparison_column_best"),
        say("comparison_column_at", seconds=number_as_text(result.equal_seconds, 0)),
        say("comparison_column_seconds"),
        say("comparison_column_to", target=number_as_text(result.target, 3)),
    ]
    rows = [
        {
            "tuner": row["tuner"],
            "best": leader is not None and row["tuner"] == leader["tuner"],
            **dict(zip(titles, _figures_of_tuner(row, say), strict=True)),
        }
        for row in result.summary.to_dict("records")
    ]
    return [titles[:3], titles[3:]], rows


def _figures_of_tuner(row: Mapping[Any, Any], say: Translate) -> list[str]:
    low, high = number_as_text(row["fresh_least"], 3), number_as_text(row["fresh_most"], 3)
    reached = say("comparison_reached", reached=row["reached"], n=row["n"])
    return [
        number_as_text(row["fresh"], 3),
        low if low == high else f"{low} \N{EN DASH} {high}",
        number_as_text(row["best"], 3),
        number_as_text(row["at_equal_seconds"], 3),
        number_as_text(row["seconds"], 0),
        f"{number_as_text(row['seconds_to_target'], 0)} ({reached})",
    ]


def _effects(
    result: ComparisonResult, names: Sequence[str], say: Translate
) -> list[dict[str, Any]]:
    """Return the tables of effects: in each a few factors, and a text per tuner and factor."""
    texts = effects_as_text(result, say)
    return [
        {
            "names": names[i : i + FACTORS_ABREAST],
            "texts": {
                tuner: [text.replace("+-", "±") for text in own[i : i + FACTORS_ABREAST]]
                for tuner, own in texts.items()
            },
        }
        for i in range(0, len(names), FACTORS_ABREAST)
    ]


def _explanation_of_columns(result: ComparisonResult, say: Translate) -> list[str]:
    response = result.study.response
    return [
        say("comparison_explain_delivered", response=response, fresh=result.options.fresh),
        say("comparison_explain_best"),
        say("comparison_explain_at", seconds=number_as_text(result.equal_seconds, 0)),
        say("comparison_explain_to", target=number_as_text(result.target, 3)),
        say("comparison_explain_seconds"),
    ]


def _what_was_compared(result: ComparisonResult, say: Translate) -> list[str]:
    space, options = result.race.space, result.options
    levels = [
        f"{f.name} {', '.join(map(show, own))}"
        for f, own in zip(space.factors, space.levels, strict=True)
    ]
    return [
        say("comparison_cells", n=space.n_cells, levels="; ".join(levels)),
        say("comparison_same", budget=options.budget, n=options.repetitions),
        say("comparison_seeds"),
    ]


def _command(result: ComparisonResult) -> str:
    """Return the command that repeats the comparison."""
    options = result.options
    return (
        f"factorgrid compare {result.study.name} --budget {options.budget} "
        f"--repetitions {options.repetitions} --fresh {options.fresh}"
    )
