"""What to do next, as text, as lines of a study file and as commands."""

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from analysis.factors import Factor, Level, cell_name, show
from analysis.search.next_moves import (
    MOST_SEEDS,
    AnswerStands,
    BeyondEdge,
    FoldOver,
    LongerTraining,
    MeasureEffects,
    MoreSeeds,
    NarrowRange,
    NextMove,
    NothingLearned,
)
from tasks.languages import Translate
from tasks.study.next_study import LEARNING_RATE, next_study, study_changes
from tasks.study.study_file import Study
from tasks.study.study_toml import study_toml, tables_toml
from tasks.wording.search_command import built_in_search_command, file_search_command
from tasks.wording.terminal import wrapped
from tasks.wording.values import percent

#: Moves that a person sees; the JSON output has all of them.
MOST_SHOWN = 4
#: Terms that an effect is aliased with, and alias chains, that are named.
MOST_NAMED = 4


@dataclass(frozen=True)
class NextStep:
    """A move as a user reads it.

    Attributes
    ----------
    move : the data.
    text : what was found, and what to do.
    toml : the lines of the study file to change; may be empty.
    commands : what to run then; may be empty.
    study_file : the whole file of the next study; empty if nothing is to be changed.
    is_built_in : whether the commands run a built-in study with the changes as options, so that no
        file is to be changed.
    """

    move: NextMove
    text: str
    toml: str
    commands: tuple[str, ...]
    study_file: str = ""
    is_built_in: bool = False

    @property
    def lines(self) -> list[str]:
        """The lines that a person needs: those of the file to change, and the commands."""
        return [*([] if self.is_built_in else self.toml.splitlines()), *self.commands]


def next_steps(moves: Sequence[NextMove], study: Study, translate: Translate) -> list[NextStep]:
    """Return the moves as text, with what to change in the study's file and what to run."""
    return [_step(move, study, translate) for move in moves]


def _step(move: NextMove, study: Study, translate: Translate) -> NextStep:
    changes = study_changes(study, move)
    design = _design_commands(move, study) if isinstance(move, FoldOver) else ()
    text = move_as_text(move, study, changes, translate)
    if not changes:
        return NextStep(move, text, "", design)
    changed = next_study(study, changes)
    built_in = built_in_search_command(changed)
    commands = (built_in or file_search_command(changed), *design)
    file = study_toml(changed)
    return NextStep(move, text, tables_toml(changes), commands, file, built_in is not None)


def steps_as_text(steps: Sequence[NextStep], translate: Translate) -> list[str]:
    """Return the lines that a terminal prints: the first moves, each with what to do."""
    lines = []
    for number, step in enumerate(steps[:MOST_SHOWN], 1):
        lines.append(wrapped(f"{number}. {step.text}"))
        lines += [f"     {line}" if line else "" for line in step.lines]
    notes = [how_as_text(steps, translate), further_moves_as_text(steps, translate)]
    return [*lines, *(wrapped(note) for note in notes if note)]


def how_as_text(steps: Sequence[NextStep], translate: Translate) -> str:
    """Return what to do with the lines that are shown; empty if there are none."""
    built_in = [step.is_built_in for step in steps[:MOST_SHOWN] if step.toml]
    if not built_in:
        return ""
    ways = [translate("next_how_file")] if not all(built_in) else []
    ways += [translate("next_how_built_in")] if any(built_in) else []
    return " ".join([*ways, translate("next_how")])


def further_moves_as_text(steps: Sequence[NextStep], translate: Translate) -> str:
    """Return how many moves are not shown; empty if all are."""
    hidden = len(steps) - MOST_SHOWN
    return translate("next_hidden", n=hidden) if hidden > 0 else ""


def steps_as_json(steps: Sequence[NextStep]) -> list[dict[str, Any]]:
    """Return all moves with their numbers, texts, lines and commands."""
    return [
        {
            "code": step.move.code,
            **asdict(step.move),
            "text": step.text,
            "toml": step.toml,
            "commands": list(step.commands),
            "study_file": step.study_file,
        }
        for step in steps
    ]


def move_as_text(
    move: NextMove, study: Study, changes: Mapping[str, Any], translate: Translate
) -> str:
    """Return what a move is about, and what to do, in the numbers that it has.

    Parameters
    ----------
    changes : what the move changes in the study's file.
    """
    match move:
        case NothingLearned():
            return _nothing_learned(move, study, changes, translate)
        case FoldOver():
            return _fold_over(move, translate)
        case MoreSeeds():
            return _more_seeds(move, translate)
        case _:
            key, values = _sentence(move, study)
            text = translate(key, **values)
    if isinstance(move, LongerTraining) and _rate_falls(study):
        return f"{text} {translate('next_rate_falls')}"
    return text


def _rate_falls(study: Study) -> bool:
    """Whether the learning rate of some training falls towards its end."""
    part = study.factors.get("schedule")
    schedules = (study.training.schedule,) if part is None else part.levels
    return any(schedule != "constant" for schedule in schedules)


def _sentence(move: NextMove, study: Study) -> tuple[str, dict[str, object]]:
    """Return the key and the values of a move that is one sentence."""
    match move:
        case BeyondEdge():
            values = {"level": show(move.level), **_ends("first", "last", move.tried)}
            return f"next_beyond_{move.end}", {"factor": move.factor, **values, **_new_ends(move)}
        case NarrowRange():
            levels, p = ", ".join(map(show, move.levels)), f"{move.p:.2g}"
            counts = {"collapsed": move.collapsed, "runs": move.runs}
            values = {"factor": move.factor, "levels": levels, "p": p}
            return "next_narrow_range", {**values, **counts, **_new_ends(move)}
        case MeasureEffects():
            return "next_measure_effects", {"cells": move.cells, "budget": move.budget}
        case LongerTraining():
            figures = {
                name: f"{value:.4f}"
                for name, value in (
                    ("before", move.before),
                    ("after", move.after),
                    ("error", move.standard_error),
                )
            }
            counts = {"window": move.window, "epochs": move.epochs, "runs": move.runs}
            about = {"response": study.measured.title, "longer": 2 * move.epochs}
            return "next_longer_training", {**figures, **counts, **about}
        case AnswerStands():
            counts = {"cells": move.cells, "runs": move.runs}
            return "next_answer_stands", {"cell": cell_name(move.cell), **counts}
    raise AssertionError(f"a move without text: {move}")


def _new_ends(move: BeyondEdge | NarrowRange) -> dict[str, str]:
    return _ends("low", "high", (move.low, move.high))


def _ends(low: str, high: str, levels: tuple[Level, Level]) -> dict[str, str]:
    return dict(zip((low, high), map(show, levels), strict=True))


def _nothing_learned(
    move: NothingLearned, study: Study, changes: Mapping[str, Any], translate: Translate
) -> str:
    training, data = changes.get("training", {}), changes.get("data", {})
    remedies = [
        translate("next_other_range", factor=new.factor, low=show(new.low), high=show(new.high))
        for new in move.learning_rates
    ]
    if LEARNING_RATE in training:
        remedies.append(translate("next_other_rate", rate=show(training[LEARNING_RATE])))
    if "epochs" in training:
        remedies.append(
            translate("next_more_epochs", n=training["epochs"], now=study.training.epochs)
        )
    pictures = next(iter(data.values()), None)
    key = "next_more_pictures" if pictures is None else f"next_more_pictures_{next(iter(data))}"
    remedies.append(translate(key, n=pictures))
    first = translate(
        "next_nothing_learned", runs=move.runs, response=study.response, mean=f"{move.mean:.4f}"
    )
    return f"{first} {'; '.join(remedies)}."


def _fold_over(move: FoldOver, translate: Translate) -> str:
    chains = [_chain(chain) for chain in move.chains[:MOST_NAMED]]
    sentences = [
        translate("next_aliased", chains="; ".join(chains)),
        translate(
            "next_fold_over",
            runs=move.runs,
            on=", ".join(move.on),
            separated=", ".join(move.separated),
        ),
    ]
    if move.larger_cells is not None:
        sentences.append(
            translate("next_larger_design", cells=move.larger_cells, runs=move.larger_runs)
        )
    return " ".join(sentences)


def _chain(chain: Sequence[str]) -> str:
    more = ["..."] if len(chain) > MOST_NAMED + 1 else []
    return " = ".join([*chain[: MOST_NAMED + 1], *more])


def _more_seeds(move: MoreSeeds, translate: Translate) -> str:
    best, other, lead = cell_name(move.best), cell_name(move.other), f"{move.lead:.4f}"
    first = translate("next_tied", cells=move.cells, best=best, other=other, lead=lead)
    second = translate(
        f"next_seeds_{move.reason}",
        runs=move.runs,
        more=move.more,
        most=MOST_SEEDS,
        spread=f"{move.spread:.4f}",
        least=f"{move.least_lead:.4f}",
        power=percent(move.power),
        # The next tenth above it, so that as many pictures are enough.
        ratio=f"{(math.floor(10 * (move.image_ratio or 0)) + 1) / 10:g}",
    )
    return f"{first} {second} {translate('next_take_the_cheaper')}"


# -- commands -------------------------------------------------------------------------------------


def _design_commands(move: FoldOver, study: Study) -> tuple[str, ...]:
    """Return the commands that write the screen and its fold-over as CSV files.

    None if a name or a level cannot be written as an option.
    """
    options = [_factor_option(factor) for factor in study.factor_list]
    if any(option is None for option in options):
        return ()
    factors = " ".join(f"--factor {option}" for option in options)
    screen, folded = "screen.csv", "fold-over.csv"
    every = set(move.on) == set(study.factors)
    on = "" if every else "".join(f" --on {shlex.quote(name)}" for name in move.on)
    sizes = f"--runs {study.design.n_runs} --replicates {study.replicates} --seed {study.seed}"
    first = f"factorgrid design fraction {sizes} {factors} --out {screen}"
    # The levels are those of the file.
    names = " ".join(f"--factor {shlex.quote(name)}" for name in study.factors)
    return first, f"factorgrid design fold-over --csv {screen} {names}{on} --out {folded}"


def _factor_option(factor: Factor) -> str | None:
    """Return a factor as ``NAME=LOW,HIGH:SCALE``; None if that would not be read as it is meant."""
    levels = [_level_option(level) for level in factor.levels]
    if any(set(",:=\n") & set(text) for text in (factor.name, *levels)):
        return None
    return shlex.quote(f"{factor.name}={','.join(levels)}:{factor.scale}")


def _level_option(level: Level) -> str:
    return level if isinstance(level, str) else json.dumps(level)
