"""The next moves as text, as lines of a study file and as commands that work."""

import math
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from analysis.designs.factorial import design_of_runs
from analysis.factors import Factor, show
from analysis.search.next_moves import (
    MOST_SEEDS,
    AnswerStands,
    BeyondEdge,
    FoldOver,
    LongerTraining,
    MeasureEffects,
    MoreSeeds,
    NarrowRange,
    NewRange,
    NextMove,
    NothingLearned,
)
from flows.cli import main
from tasks.languages import LANGUAGES, translator
from tasks.study.next_study import next_study, study_changes
from tasks.study.study_file import Study, load_study, parse_study
from tasks.wording.next_moves import (
    MOST_SHOWN,
    NextStep,
    next_steps,
    steps_as_json,
    steps_as_text,
)

ENGLISH = translator("en")
NAMES = ("conv_layers", "fc_layers", "learning_rate", "dropout", "filters")


def a_study(**changes: Any) -> Study:
    factors = {
        "conv_layers": {"low": 3, "high": 6},
        "fc_layers": {"low": 1, "high": 3},
        "learning_rate": {"low": 0.001, "high": 0.1},
        "dropout": {"low": 0.0, "high": 0.4},
        "filters": {"low": 8, "high": 32},
    }
    return parse_study({"name": "my study", "factors": factors, **changes}, "test")


STUDY = a_study(screen_cells=8, replicates=2)

share = st.floats(0, 1)
count = st.integers(1, 500)
rate = st.floats(1e-7, 1.0).map(lambda x: float(f"{x:.3g}"))
range_of_rates = st.tuples(rate, rate).filter(lambda x: x[0] < x[1])
cell = st.fixed_dictionaries({"conv_layers": st.integers(1, 9), "learning_rate": rate})


@st.composite
def edges(draw: st.DrawFn) -> BeyondEdge:
    end = draw(st.sampled_from(["lowest", "highest"]))
    tried, new = draw(range_of_rates), draw(range_of_rates)
    level = tried[0] if end == "lowest" else tried[1]
    return BeyondEdge("learning_rate", level, end, tried, *new)  # type: ignore[arg-type] # two texts


@st.composite
def narrow(draw: st.DrawFn) -> NarrowRange:
    low, high = draw(range_of_rates)
    levels = tuple(draw(st.lists(rate, min_size=1, max_size=3)))
    return NarrowRange("learning_rate", levels, draw(count), draw(count), draw(share), low, high)


@st.composite
def seeds(draw: st.DrawFn) -> MoreSeeds:
    reason = draw(st.sampled_from(["seeds", "impractical", "equal", "images", "unknown"]))
    more = draw(st.integers(1, MOST_SEEDS)) if reason == "seeds" else None
    more = 1 if reason == "unknown" else more
    numbers = [draw(share) for _ in range(3)]
    lead, spread, least = numbers
    ratio = draw(st.floats(1, 1e4)) if reason == "images" else None
    return MoreSeeds(
        draw(cell),
        draw(cell),
        draw(st.integers(2, 9)),
        lead,
        draw(count),
        math.nan if reason == "unknown" else spread,
        least,
        more,
        reason,  # type: ignore[arg-type] # texts
        image_ratio=ratio,
    )


longer = st.builds(
    LongerTraining, st.integers(8, 400), count, st.integers(2, 9), share, share, share
)
nothing = st.builds(
    NothingLearned,
    count,
    share,
    range_of_rates.map(lambda x: (NewRange("learning_rate", *x),)) | st.just(()),
)
folded = st.builds(
    FoldOver,
    st.just((("conv_layers", "fc_layers:dropout"),)),
    st.just(NAMES) | st.just(("dropout",)),
    st.just(("conv_layers",)),
    count,
    st.sampled_from([None, 16, 32]),
    count,
)
measured = st.builds(MeasureEffects, st.integers(4, 6), st.integers(7, 200))
stands = st.builds(AnswerStands, cell, count, count)
moves: st.SearchStrategy[NextMove] = st.one_of(
    edges(), narrow(), seeds(), longer, nothing, folded, measured, stands
)


def only_step(move: NextMove, study: Study = STUDY, language: str = "en") -> NextStep:
    (step,) = next_steps([move], study, translator(language))
    return step


def numbers_of(text: str) -> list[str]:
    return re.findall(r"\d+(?:\.\d+)?(?:e-?\d+)?", text)


@given(moves)
def test_every_number_of_a_sentence_is_one_of_the_move(move: NextMove) -> None:
    """Every number in the text is a value of the move, or of what it changes in the study."""
    step = only_step(move)
    known = {str(MOST_SEEDS), "80"}
    known |= set(numbers_of(f"{_values(move)} {step.toml} {STUDY.training.epochs}"))
    if isinstance(move, MoreSeeds) and move.image_ratio:
        known.add(f"{(math.floor(10 * move.image_ratio) + 1) / 10:g}")  # the next tenth
    assert set(numbers_of(step.text)) <= known
    assert "nan" not in step.text
    assert "None" not in step.text


def _values(value: object) -> str:
    """Return every value of a move as it may be written."""
    match value:
        case bool() | None:
            return ""
        case float():
            return f"{show(value)} {value:.4f} {value:.2g}"
        case int() | str():
            return str(value)
        case dict():
            return " ".join(map(_values, value.values()))
        case tuple():
            return " ".join(map(_values, value))
        case _:
            return " ".join(map(_values, vars(value).values()))


@given(moves)
def test_both_languages_have_the_same_numbers(move: NextMove) -> None:
    texts = [only_step(move, language=language).text for language in LANGUAGES]
    first, *others = [sorted(numbers_of(text)) for text in texts]
    assert all(numbers == first for numbers in others)


@given(moves)
def test_the_changed_lines_are_those_of_a_valid_study(move: NextMove) -> None:
    step = only_step(move)
    assert bool(step.toml) == any("search" in command for command in step.commands)
    if not step.toml:
        assert not step.study_file
        return
    changes = tomllib.loads(step.toml)
    changed = next_study(STUDY, changes)
    # A person writes the lines into the file; reading it gives the same study.
    assert parse_study(tomllib.loads(step.study_file), "test").identity == changed.identity
    assert changed.identity != STUDY.identity


@given(moves)
def test_moves_as_json_have_the_code_the_text_and_every_number(move: NextMove) -> None:
    (content,) = steps_as_json([only_step(move)])
    assert content["code"] == move.code
    assert set(vars(move)) <= set(content)
    assert {"text", "toml", "commands", "study_file"} <= set(content)


def test_an_edge_changes_the_factor_s_range_in_the_file() -> None:
    step = only_step(BeyondEdge("learning_rate", 0.0001, "lowest", (0.0001, 0.01), 1e-05, 0.001))
    assert step.toml.splitlines() == ["[factors.learning_rate]", "low = 1e-05", "high = 0.001"]
    assert step.commands == ("factorgrid search 'my study.toml'",)
    assert "0.0001 is the lowest that was tried (0.0001 to 0.01)" in step.text
    changed = next_study(STUDY, tomllib.loads(step.toml)).factors["learning_rate"]
    assert (changed.low, changed.high) == (1e-05, 0.001)


def test_more_seeds_are_added_to_those_that_confirm_already() -> None:
    move = MoreSeeds({"a": 1}, {"a": 2}, 3, 0.01, 4, 0.02, 0.0, 7, "seeds")
    changes = tomllib.loads(only_step(move).toml)
    assert changes == {"confirm": {"replicates": STUDY.rules.confirm_replicates + 7}}


@pytest.mark.parametrize("reason", ["impractical", "equal", "images"])
def test_where_seeds_do_not_help_nothing_is_to_be_changed(reason: Any) -> None:
    step = only_step(MoreSeeds({"a": 1}, {"a": 2}, 3, 0.01, 4, 0.02, 0.0, None, reason))
    assert (step.toml, step.commands) == ("", ())
    assert "the cheapest of these cells" in step.text


def test_no_move_changes_a_study_with_a_budget_to_the_published_procedure() -> None:
    cell = {"learning_rate": 0.001}
    seeds = MoreSeeds(cell, cell, 2, 0.01, 1, 0.01, 0.0, 3, "seeds")
    fold = FoldOver((("a", "b:c"),), ("a",), ("a",), 4, 8, 4)
    for study in (a_study(), a_study(budget=20)):
        assert study.method == "budget"
        assert study_changes(study, seeds) == study_changes(study, fold) == {}


@pytest.mark.parametrize(
    ("ratio", "said"), [(1.0, "1.1"), (1.004, "1.1"), (2.41, "2.5"), (12.01, "12.1")]
)
def test_a_lead_of_too_few_images_says_a_number_that_is_enough(ratio: float, said: str) -> None:
    move = MoreSeeds({"a": 1}, {"a": 2}, 3, 0.02, 4, 0.02, 0.05, None, "images", 0.8, ratio)
    assert f"at least {said} times as many pictures" in only_step(move).text


def test_a_lead_of_too_few_images_asks_for_as_many_pictures_as_it_takes() -> None:
    move = MoreSeeds({"a": 1}, {"a": 2}, 3, 0.02, 4, 0.02, 0.05, None, "images", 0.8, 2.5)
    assert only_step(move).toml == ""
    step = only_step(move, a_study(data={"drawn": 1000}))
    assert tomllib.loads(step.toml) == {"data": {"drawn": 3000}}


def test_where_nothing_was_learned_the_remedies_are_those_that_the_study_has() -> None:
    move = NothingLearned(8, 0.5, (NewRange("learning_rate", 1e-05, 0.0001),))
    changes = tomllib.loads(only_step(move).toml)
    assert changes == {
        "factors": {"learning_rate": {"low": 1e-05, "high": 0.0001}},
        "training": {"epochs": 4 * STUDY.training.epochs},
    }
    fixed = a_study(
        factors={"conv_layers": {"low": 3, "high": 6}},
        data={"per_class": 100},
        training={"epochs": 3, "learning_rate": 0.1},
    )
    step = only_step(NothingLearned(8, 0.5), fixed)
    assert tomllib.loads(step.toml) == {
        "data": {"per_class": 200},
        "training": {"epochs": 12, "learning_rate": 0.001},
    }
    assert "another learning rate, 0.001;" in step.text
    assert "12 epochs instead of 3" in step.text
    assert "up to 200 of each class" in step.text


@pytest.mark.parametrize("language", ["en", "ko"])
def test_an_improvement_under_a_falling_learning_rate_is_not_taken_for_more(language: str) -> None:
    move = LongerTraining(32, 2, 8, 0.5, 0.6, 0.01)
    factors = {"learning_rate": {"low": 0.001, "high": 0.1}}
    part = {"schedule": {"values": ["constant", "cosine"]}}
    caveat = translator(language)("next_rate_falls")
    for study, is_said in (
        (a_study(factors=factors), False),
        (a_study(factors=factors, training={"schedule": "one_cycle"}), True),
        (a_study(factors=factors | part), True),
    ):
        assert (caveat in only_step(move, study, language).text) == is_said


def test_a_change_beyond_the_limits_of_a_study_is_not_printed() -> None:
    step = only_step(LongerTraining(60_000, 2, 3, 0.5, 0.6, 0.01))
    assert (step.toml, step.commands) == ("", ())


def test_the_commands_of_a_fold_over_write_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    chains = (("conv_layers", "fc_layers:dropout"),)
    for on in (NAMES, ("dropout",)):
        step = only_step(FoldOver(chains, on, ("conv_layers",), 16, 16, 24))
        assert step.toml == "screen_cells = 16"
        designs = [shlex.split(command) for command in step.commands if " design " in command]
        for program, *words in designs:
            assert program == "factorgrid"
            result = CliRunner().invoke(main, words)
            assert result.exit_code == 0, result.output
        screen, folded = (pd.read_csv(name) for name in ("screen.csv", "fold-over.csv"))
        # The screen of the study, then as many new runs.
        assert len(folded) == 2 * len(screen)
        expected = [run.levels for run in _screen()]
        assert screen[list(NAMES)].to_dict("records") == expected
        factors = [Factor(f.name, f.low, f.high, f.scale) for f in STUDY.factor_list]
        fraction = design_of_runs(folded, factors).fraction
        assert fraction is not None
        assert fraction.p == 1
        for name in ("screen.csv", "fold-over.csv"):
            Path(name).unlink()


def _screen() -> list[Any]:
    from analysis.search.procedure import screen_runs

    return screen_runs(STUDY.rules)


def test_a_terminal_shows_the_first_moves_and_counts_the_others() -> None:
    move = BeyondEdge("learning_rate", 0.0001, "lowest", (0.0001, 0.01), 1e-05, 0.001)
    steps = next_steps([move] * (MOST_SHOWN + 2), STUDY, ENGLISH)
    lines = steps_as_text(steps, ENGLISH)
    assert sum(line.startswith(f"{MOST_SHOWN}. ") for line in lines) == 1
    assert not any(line.startswith(f"{MOST_SHOWN + 1}. ") for line in lines)
    assert lines[-1].startswith("2 more in next.json")
    assert "     low = 1e-05" in lines
    assert "     factorgrid search 'my study.toml'" in lines


def test_a_built_in_study_shows_a_command_and_no_lines_of_a_file() -> None:
    study = load_study("quick")
    move = BeyondEdge("learning_rate", 0.0001, "lowest", (0.0001, 0.01), 1e-05, 0.001)
    steps = next_steps([move], study, ENGLISH)
    command = (
        "factorgrid search quick --set factors.learning_rate.low=1e-05 "
        "--set factors.learning_rate.high=0.001"
    )
    assert steps[0].commands == (command,)
    assert steps[0].lines == [command]
    assert steps_as_json(steps)[0]["toml"].splitlines()[0] == "[factors.learning_rate]"
    (_, *shown) = steps_as_text(steps, ENGLISH)
    assert any(command in line for line in shown)
    assert not any("low = 1e-05" in line or "Change these lines" in line for line in shown)
    assert "can be given together" in " ".join(shown)
