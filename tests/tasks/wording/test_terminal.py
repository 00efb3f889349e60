"""Text that fits a terminal."""

import pytest

from tasks.wording.terminal import NARROWEST, WIDEST, WIDTH, fitting_table, text_width, wrapped

SENTENCE = "a few plain words that make a long line " * 10
COLUMNS = {"name": ["a", "bb"], "first": ["1.5", "-"], "second": ["20", "3"]}


@pytest.mark.parametrize(
    ("columns", "longest"), [(None, WIDTH), (80, 80), (120, 120), (300, WIDEST), (10, NARROWEST)]
)
def test_lines_are_filled_at_the_width_of_the_terminal(columns: int | None, longest: int) -> None:
    with text_width(columns):
        lines = wrapped(SENTENCE).splitlines()
    assert longest - len("plain") <= max(map(len, lines)) <= longest
    assert max(map(len, wrapped(SENTENCE).splitlines())) <= WIDTH


def test_a_table_leaves_out_columns_that_do_not_fit_the_terminal() -> None:
    with text_width(12):
        assert fitting_table(COLUMNS, ["second"]).splitlines() == [
            "name  first",
            "   a    1.5",
            "  bb      -",
        ]


def test_a_table_for_a_pipe_has_all_columns() -> None:
    wide = {**COLUMNS, "verdict": ["x" * 200, ""]}
    lines = fitting_table(wide, ["second", "verdict"]).splitlines()
    assert lines[0].split() == ["name", "first", "second", "verdict"]
    assert lines[2] == "  bb      -       3"
