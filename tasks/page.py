"""The report of a study: one HTML page that needs nothing from elsewhere, from MLflow alone.

Everything is worded here from data, with `words.toml`, so that each language says the same.
"""

import base64
import datetime as dt
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis import plots
from analysis.decision import Decision
from analysis.effects import Effects
from analysis.factors import cell_name, show
from analysis.fitting import value
from analysis.selection import Selection
from tasks.errors import UserError
from tasks.evidence import CONTACT_SHEET, PICTURES, SAMPLES, SUSPECTS, VERSIONS
from tasks.settings import Settings
from tasks.study import Study
from tasks.tags import KIND, PREFIX
from tasks.tracking import Execution, Tracker
from tasks.words import Say, speaker

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tasks.report import Outcome

#: Rows of a table of cells, reasons of a quarantine with examples of each, cells that are named.
MOST_CELLS, MOST_REASONS, EXAMPLES, NAMED = 30, 8, 2, 6
#: A longer table of terms shows main effects, two-way interactions and active terms.
MOST_TERMS = 31
MISSING = "-"
STAGES = ("pilot", "screen", "refine", "confirm")


@dataclass(frozen=True)
class Source:
    """What a page is made of: the findings, the runs, and the artifacts behind them."""

    outcome: "Outcome"
    execution: Execution
    say: Say

    @property
    def study(self) -> Study:
        """What was asked."""
        return self.execution.study

    def json(self, path: str) -> Any:
        """Return a JSON artifact of the parent run, or None."""
        return self.execution.tracker.read_json(self.execution.run_id, path)

    def picture(self, run_id: str, path: str) -> str:
        """Return a PNG artifact as a data: address; empty where there is none."""
        content = self.execution.tracker.read(run_id, path)
        return "" if content is None else _address(content, "image/png")


def page_of(outcome: "Outcome", execution: Execution, language: str = "en") -> str:
    """Return the report of an execution as HTML.

    Parameters
    ----------
    outcome : its findings.
    execution : whose runs and artifacts show them.
    language : one of `tasks.words.LANGUAGES`.

    Raises
    ------
    UserError
        If the language is not spoken.
    """
    source = Source(outcome, execution, speaker(language))
    parts = (
        *(_head, _question, _data, _design, _effects),
        *(_decision, _grid, _winner, _suspects, _cost, _repeat),
    )
    content = {part.__name__.strip("_"): part(source) for part in parts}
    return rendered("report.html", **content, say=source.say, lang=language)


def rendered(name: str, **content: Any) -> str:
    """Return a template filled in; what it asks for and is not given is an error."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tasks"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    page: str = environment.get_template(name).render(**content)
    return page


def write_report(settings: Settings, experiment: str, out: Path | None, language: str) -> Path:
    """Rebuild the page of an experiment's last study from MLflow alone; return its file.

    Parameters
    ----------
    settings : where MLflow is.
    experiment : the study's name.
    out : the file to write; by default the study's name in the current folder.
    language : one of `tasks.words.LANGUAGES`.

    Raises
    ------
    UserError
        If there is no such study, no cell of it finished, or the file cannot be written.
    """
    file = out or Path(f"{experiment}.html")
    if not file.absolute().parent.is_dir():
        raise UserError(f"--out {file}: its folder is not there; create it, or name another")
    tracker = Tracker.open(settings, create=False)
    settings.create()  # Prefect, which the report's tasks import, wants its folder
    from tasks.report import outcome_of

    execution = tracker.past(tracker.last_execution(tracker.existing_experiment(experiment)))
    page = page_of(outcome_of(execution), execution, language)
    try:
        file.write_text(page, encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"--out {file}: {error.strerror}; name a file that can be written"
        ) from None
    return file


# -- the parts, in the page's order ---------------------------------------------------------------


def _head(source: Source) -> dict[str, Any]:
    execution, say = source.execution, source.say
    run = execution.tracker.client.get_run(execution.run_id)
    began = dt.datetime.fromtimestamp(run.info.start_time / 1000, tz=dt.UTC)
    return {
        "title": say("title", name=source.study.name),
        "description": source.study.description,
        "byline": say("byline", date=f"{began:%Y-%m-%d}", run=execution.run_id),
        "short": [*_short_winner(source), _short_active(source), *_short_tied(source)],
    }


def _short_winner(source: Source) -> list[str]:
    cell = cell_name(source.outcome.selection.chosen)
    if source.outcome.registered is None:
        return [source.say("short_unfinished", cell=cell)]
    chance, test = _test_chance(source), source.outcome.registered.test
    warning = [source.say("short_chance", chance=_share(chance))] if test.low <= chance else []
    return [source.say("short_winner", cell=cell, **_test(source)), *warning]


def _test_chance(source: Source) -> float:
    """Return the accuracy of the best constant answer on the test images; 0 where not known."""
    pictures = source.json(PICTURES)
    counts = pictures["counts"]["test"] if pictures else [0]
    return float(max(counts) / max(sum(counts), 1))


def _short_active(source: Source) -> str:
    names = source.outcome.effects.shown
    return source.say("short_active", names=", ".join(names)) if names else source.say("short_none")


def _short_tied(source: Source) -> list[str]:
    tied = len(source.outcome.selection.tied)
    return [source.say("short_tied", n=tied)] if tied > 1 else []


def _question(source: Source) -> dict[str, Any]:
    study, facts, say = source.study, source.execution.facts, source.say
    return {
        "text": say(
            "question_text",
            k=len(study.factors),
            response=study.response,
            images=f"{facts.validation_images:,}",
            chance=_share(facts.chance),
        ),
        "factors": [
            {"name": f.name, "low": show(f.low), "high": show(f.high), "scale": say(f.scale)}
            for f in study.factor_list
        ],
    }


def _data(source: Source) -> dict[str, Any]:
    execution, say = source.execution, source.say
    pictures = source.json(PICTURES)
    return {
        "text": say(
            "data_text",
            words=execution.facts.pictures,
            version=execution.version,
            size=source.study.data.image_size,
        ),
        "sides": _sides(pictures),
        "samples": source.picture(execution.run_id, SAMPLES),
        **_quarantine(source),
    }


def _sides(pictures: Mapping[str, Any] | None) -> list[list[str]]:
    """Return a row a class, and one of sums: its name, and how many pictures a side."""
    if pictures is None:
        return []
    counts = np.array([pictures["counts"][side] for side in ("training", "validation", "test")]).T
    rows = [*zip(pictures["classes"], counts, strict=True), ("", counts.sum(axis=0))]
    return [[name, *(f"{n:,}" for n in row), f"{row.sum():,}"] for name, row in rows]


def _quarantine(source: Source) -> dict[str, Any]:
    """Return what the validation of this dataset version left out, by kind of reason."""
    checked = _validation(source.execution)
    if checked is None:
        return {"found": "", "reasons": []}
    counts = {k: checked[k] for k in ("found", "accepted", "quarantined", "passed_over")}
    words = [source.say("found", **{k: f"{n:,}" for k, n in counts.items()})]
    per_class = source.study.data.per_class
    words += [source.say("sampled", per_class=f"{per_class:,}")] if per_class else []
    reasons = {path: "; ".join(why) for path, why in checked["reasons"].items()}
    left_out = {**reasons, **checked["passed_over_reasons"]}
    return {"found": " ".join(words), "reasons": _by_kind(left_out)}


def _validation(execution: Execution) -> Any:
    """Read the last validation of the execution's dataset version; None where there is none."""
    condition = f"tags.`{KIND}` = 'validation' and tags.`{PREFIX}dataset_version` = "
    tracker = execution.tracker
    runs = tracker.search([execution.experiment], f"{condition}'{execution.version}'", limit=1)
    return tracker.read_json(runs[0].info.run_id, "validation.json") if runs else None


def _by_kind(reasons: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return kinds of reason, most frequent first, each with a few files and their own words."""
    kinds = {path: why.split(": ")[0].split(" of ")[0] for path, why in reasons.items()}
    return [
        {
            "kind": kind,
            "n": f"{count:,}",
            "examples": [path for path, own in kinds.items() if own == kind][:EXAMPLES],
        }
        for kind, count in Counter(kinds.values()).most_common(MOST_REASONS)
    ]


def _design(source: Source) -> dict[str, Any]:
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


def _effects(source: Source) -> dict[str, Any]:
    effects, say = source.outcome.effects, source.say
    text = say(
        "effects_text",
        response=effects.response_words,
        mean=_number(value(effects.terms, "intercept", "coefficient")),
        r2=_number(effects.r_squared),
        df=effects.residual_df,
        runs=len(effects.runs),
    )
    half = effects.half
    return {
        "text": text,
        **_judged(effects, say),
        "collapsed": _collapsed(effects, say),
        "cautions": [line for line in effects.warnings if " collapsed (" not in line],
        "half": half
        and {
            "title": say("half", factor=half.factor, level=show(half.working)),
            **_judged(half.effects, say),
        },
        "figures": _effect_figures(effects, say),
    }


def _judged(effects: Effects, say: Say) -> dict[str, Any]:
    """Return a table of terms with the verdict on each, and the verdict in words."""
    alpha = _percent(effects.alpha)
    names = ", ".join(effects.active)
    active = say("active_some", alpha=alpha, names=names) if names else ""
    return {
        "terms": [_term(effects, name, say) for name in _worth(effects)],
        "verdict": f"{active or say('active_none', alpha=alpha)} {_tested(effects, say)}",
    }


def _worth(effects: Effects) -> list[str]:
    """Return the terms to show, and the active ones that the model left to the residual."""
    fitted = [str(name) for name in effects.terms.index[1:]]
    if len(fitted) > MOST_TERMS:
        fitted = [name for name in fitted if name.count(":") <= 1 or name in effects.active]
    return [*fitted, *(name for name in effects.active if name not in fitted)]


def _term(effects: Effects, name: str, say: Say) -> dict[str, Any]:
    row: Any = effects.terms.reindex([name]).iloc[0]
    effect = row["effect"] if name in effects.terms.index else effects.contrasts[name]
    verdict = "surely" if name in effects.verdict.surely else "active"
    return {
        "name": name.replace(":", " : "),
        "effect": _signed(effect),
        # Of the effect, which is twice the coefficient.
        "std_error": _number(2 * row["std_error"]),
        "t": _number(row["t"], 2),
        "p": _p(row["p"]),
        "active": name in effects.active,
        "verdict": say(verdict if name in effects.active else "quiet"),
    }


def _tested(effects: Effects, say: Say) -> str:
    verdict, m = effects.verdict, len(effects.verdict.scores)
    return say(
        verdict.test,
        df=effects.residual_df,
        m=m,
        margin=_number(verdict.margin),
        simultaneous=_number(verdict.simultaneous),
        false=_percent(1 - (1 - effects.alpha) ** m),
    )


def _collapsed(effects: Effects, say: Say) -> str:
    runs = effects.runs
    fallen = runs[runs["collapsed"].astype(bool)] if "collapsed" in runs else runs[:0]
    if fallen.empty:
        return ""
    cells = fallen[[f.name for f in effects.factors]].drop_duplicates().to_dict("records")
    named = [_cell(cell) for cell in cells[:NAMED]]
    more = [say("and_more", n=len(cells) - NAMED)] if len(cells) > NAMED else []
    return say("collapsed", n=len(fallen), runs=len(runs), cells="; ".join([*named, *more]))


def _effect_figures(effects: Effects, say: Say) -> list[dict[str, str]]:
    names = ["pareto", "half_normal", "main_effects"]
    names += ["interactions"] if len(effects.factors) > 1 else []
    drawn = [(name, getattr(plots, name)(effects)) for name in names]
    return [{"name": n, "image": drawing(figure), "words": say(n)} for n, figure in drawn]


def _decision(source: Source) -> dict[str, Any]:
    decision: Decision = source.outcome.decision
    return {
        "text": source.say("decision_text"),
        "reasons": [
            {
                "factor": reason.factor,
                "why": source.say(f"why_{reason.code}"),
                "at": _cell(reason.at),
                "effect": _signed(reason.effect),
                "better": show(reason.level),
                "tried": ", ".join(map(show, reason.levels)),
            }
            for reason in decision.reasons
        ],
        "cells": _searched(source, decision),
    }


def _searched(source: Source, decision: Decision) -> str:
    refine = source.study.refine
    if refine.method != "grid":
        return source.say(f"{refine.method}_cells", n=refine.budget)
    return source.say("grid_cells", n=decision.n_cells)


def _grid(source: Source) -> dict[str, Any]:
    selection, say = source.outcome.selection, source.say
    names = list(source.study.factors)
    shown = selection.cells.head(MOST_CELLS)
    hidden = len(selection.cells) - len(shown)
    return {
        "text": _grid_words(selection, say),
        "names": names,
        "cells": _cell_rows(shown, names, selection, say),
        "more": say("more_cells", n=hidden) if hidden else "",
        "heatmap": _heatmap(source, names),
    }


def _grid_words(selection: Selection, say: Say) -> list[str]:
    cell, df = cell_name(selection.chosen), selection.error_df
    edges = ", ".join(f"{name} = {show(selection.chosen[name])}" for name in selection.edges)
    outermost = [say("edge", names=edges)] if edges else []
    if not df:
        return [say("grid_once"), say("chosen_best", cell=cell), *outermost]
    chosen = "chosen_best" if selection.chosen == selection.best else "chosen_text"
    error = _number(selection.standard_error)
    return [
        say("grid_text", error=error, df=df),
        _apart(selection, say),
        say("among"),
        " ".join([say(chosen, cell=cell), *outermost]),
    ]


def _apart(selection: Selection, say: Say) -> str:
    tied, least = len(selection.tied), selection.least_lead
    optimism = _number(selection.optimism)
    words = [say("tied_text", n=tied, optimism=optimism) if tied > 1 else say("tied_one")]
    words += [say("lead", lead=_number(least))] if least else []
    return " ".join(words)


def _cell_rows(
    cells: pd.DataFrame, names: Sequence[str], selection: Selection, say: Say
) -> list[dict[str, Any]]:
    rows = cells.to_dict("records")
    levels = zip(
        *(_aligned([show(_plain(row[name])) for row in rows]) for name in names), strict=True
    )
    return [
        {"levels": own, **_cell_row(row, names, selection, say)}
        for own, row in zip(levels, rows, strict=True)
    ]


def _cell_row(
    row: Mapping[Any, Any], names: Sequence[str], selection: Selection, say: Say
) -> dict[str, Any]:
    levels = {name: row[name] for name in names}
    fallen = int(row["collapsed"])
    return {
        "n": f"{row['n']:.0f}",
        "mean": _number(row["mean"]),
        "sd": _number(row["sd"]),
        "seconds": _number(row["cost"], 1),
        "mark": "*" if _same(levels, selection.chosen) else "",
        "tied": any(_same(levels, cell) for cell in selection.tied) and len(selection.tied) > 1,
        "fell": say("fell", n=fallen, of=f"{row['n']:.0f}") if fallen else "",
    }


def _heatmap(source: Source, names: list[str]) -> str:
    """Draw the grid's cells by all of their runs, as the table counts them."""
    cells = source.outcome.grid[names]
    runs = source.execution.runs().merge(cells, on=names)
    if runs[source.study.response].notna().sum() == 0:
        return ""
    return drawing(plots.grid_heatmap(runs, source.study.factor_list, source.study.response))


def _winner(source: Source) -> dict[str, Any] | None:
    registered, say = source.outcome.registered, source.say
    if registered is None:
        return None
    name, version, alias = registered.name, registered.version, registered.alias
    text = [
        say("winner_text", cell=cell_name(source.outcome.selection.chosen), **_test(source)),
        say("registered", name=name, version=version, alias=alias),
    ]
    if registered.against is not None:
        text.append(say("against", **_paired(registered.against)))
    return {
        "text": text,
        "curve": source.picture(registered.run_id, "plots/learning_curve.png"),
        "worst": source.picture(registered.run_id, "plots/worst.png"),
        "confusion": _confusion(source, registered.run_id),
    }


def _test(source: Source) -> dict[str, str]:
    test = source.outcome.registered.test  # type: ignore[union-attr] # asked only where there is one
    low, high = _share(test.low), _share(test.high)
    confidence = _percent(1 - test.alpha)
    return {
        "value": _share(test.value),
        "low": low,
        "high": high,
        "n": f"{test.n:,}",
        "confidence": confidence,
    }


def _paired(against: Any) -> dict[str, str]:
    return {
        "n": f"{against.n:,}",
        "ours": f"{against.only_challenger:,}",
        "theirs": f"{against.only_champion:,}",
        "p": against.relation,
    }


def _confusion(source: Source, run_id: str) -> dict[str, Any] | None:
    """Count the test images by truth and answer; None where the truth was not logged."""
    pictures = source.json(PICTURES)
    saved = source.execution.tracker.read(run_id, "model/predictions.npz")
    if pictures is None or saved is None:
        return None
    with np.load(io.BytesIO(saved)) as arrays:
        answers = arrays["test_probability"].argmax(axis=1)
    classes = pictures["classes"]
    counts = np.zeros((len(classes), len(classes)), dtype=int)
    np.add.at(counts, (pictures["test_labels"], answers), 1)
    rows = [
        {"name": name, "counts": [f"{n:,}" for n in row], "right": _share(row[i] / row.sum())}
        for i, (name, row) in enumerate(zip(classes, counts, strict=True))
    ]
    return {"classes": classes, "rows": rows}


def _suspects(source: Source) -> dict[str, Any] | None:
    """Show the pictures that good cells get confidently wrong; None where nobody looked."""
    run_id = source.execution.run_id
    table = source.execution.tracker.read(run_id, SUSPECTS)
    if table is None:
        return None
    number = max(0, len(table.decode().splitlines()) - 1)
    if not number:
        return {"text": source.say("suspects_none"), "sheet": ""}
    text = source.say("suspects_text", n=f"{number:,}")
    return {"text": text, "sheet": source.picture(run_id, CONTACT_SHEET)}


def _cost(source: Source) -> dict[str, Any]:
    execution = source.execution
    runs = execution.runs()
    stages = [stage for stage in STAGES if stage != "pilot" or source.study.pilot.found]
    rows = [_stage(source.say(stage), runs[runs["stage"] == stage]) for stage in stages]
    rows = [row for row in rows if row["runs"]]
    rows.append(_stage(source.say("total"), runs))
    return {"text": source.say("cost_text", wall=_wall(execution), **_device(source)), "rows": rows}


def _stage(name: str, runs: pd.DataFrame) -> dict[str, Any]:
    reused = runs["reused_from"].fillna("").astype(str).ne("")
    failed = runs["val_accuracy"].isna()
    trained = runs[~reused & ~failed]
    seconds = float(trained["train_seconds"].sum()) if "train_seconds" in trained else 0.0
    return {
        "name": name,
        "runs": len(runs),
        "trained": f"{len(trained):,}",
        "reused": f"{reused.sum():,}",
        "failed": f"{failed.sum():,}",
        "minutes": f"{seconds / 60:,.1f}",
    }


def _wall(execution: Execution) -> str:
    info = execution.tracker.client.get_run(execution.run_id).info
    now = dt.datetime.now(tz=dt.UTC).timestamp() * 1000
    return f"{((info.end_time or now) - info.start_time) / 60_000:,.1f}"


def _device(source: Source) -> dict[str, str]:
    """Return where the registered run was trained; of an unfinished study, the first run."""
    registered, execution = source.outcome.registered, source.execution
    run_id = registered.run_id if registered else str(execution.runs()["run_id"].iloc[0])
    tags = execution.tracker.client.get_run(run_id).data.tags
    return {name: tags.get(PREFIX + name, MISSING) for name in ("device", "precision", "backend")}


def _repeat(source: Source) -> dict[str, Any]:
    study, say = source.study, source.say
    file = f"{study.name}.toml"
    quoted = json.dumps(study.name) if " " in study.name else study.name
    path = json.dumps(file) if " " in file else file
    commands = [f"factorgrid search {path}", f"factorgrid report --experiment {quoted}"]
    versions = source.json(VERSIONS) or {}
    return {
        "text": f"{say('repeat_text', file=file)} {say('rebuild')}",
        "study": study_toml(study).strip().split("\n\n"),
        "commands": commands,
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }


def study_toml(study: Study) -> str:
    """Return a study as the file that describes it; what is left out is as by default."""
    content = study.model_dump(mode="json", exclude_defaults=True)
    return "\n".join(_toml(content)).strip() + "\n"


def _toml(table: Mapping[str, Any], path: str = "") -> Iterable[str]:
    """Yield lines of TOML; JSON's strings, numbers, booleans and arrays are TOML's as well."""
    for name, item in table.items():
        if not isinstance(item, dict) and item is not None:
            yield f"{_toml_key(name)} = {json.dumps(item, ensure_ascii=False)}"
    for name, item in table.items():
        if isinstance(item, dict):
            inner = f"{path}.{_toml_key(name)}" if path else _toml_key(name)
            if any(not isinstance(own, dict) for own in item.values()):
                yield f"\n[{inner}]"
            yield from _toml(item, inner)


def _toml_key(name: str) -> str:
    bare = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if bare else json.dumps(name, ensure_ascii=False)


# -- figures and numbers --------------------------------------------------------------------------


def drawing(figure: "Figure") -> str:
    """Return a figure as a data: address of SVG, the same bytes for the same figure."""
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": "factorgrid"}), io.BytesIO() as file:
        figure.savefig(file, format="svg", metadata={"Date": None})
        return _address(file.getvalue(), "image/svg+xml")


def _address(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _aligned(numbers: Sequence[str]) -> list[str]:
    """Pad numbers to the right, so that set flush right they stand on their decimal points."""
    places = [len(text.partition(".")[2]) for text in numbers]
    point = "\N{PUNCTUATION SPACE}" if max(places, default=0) else ""
    return [
        text + ("" if "." in text else point) + (max(places) - own) * "\N{FIGURE SPACE}"
        for text, own in zip(numbers, places, strict=True)
    ]


def _number(x: float, digits: int = 4) -> str:
    return MISSING if pd.isna(x) else f"{x:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _signed(x: float) -> str:
    return MISSING if pd.isna(x) else f"{x:+.4f}".replace("-", "\N{MINUS SIGN}")


def _p(p: Any) -> str:
    if pd.isna(p):
        return MISSING
    return "<0.0001" if p < 1e-4 else f"{p:.4f}"  # noqa: PLR2004 # what four digits can say


def _share(x: float) -> str:
    return f"{100 * x:.1f}%"


def _percent(x: float) -> str:
    return f"{100 * x:.3g}%"


def _plain(level: Any) -> Any:
    return level.item() if hasattr(level, "item") else level


def _cell(levels: Mapping[Any, Any]) -> str:
    return cell_name({str(name): _plain(level) for name, level in levels.items()})


def _same(levels: Mapping[str, Any], cell: Mapping[str, Any]) -> bool:
    return all(levels[name] == cell[name] for name in cell)
