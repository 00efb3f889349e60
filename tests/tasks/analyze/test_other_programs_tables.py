"""`factorgrid analyze --csv` on tables that other programs and people wrote."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from flows.cli import main

#: A full design in two factors, run twice: effect of Temp +12.25, of Time -5.75.
YIELDS = (60, 72, 54, 68, 61, 73, 55, 66)


def _run(folder: Path, content: str, response: str, *options: str) -> Result:
    path = folder / "table.csv"
    path.write_text(content, encoding="utf-8")
    command = ["analyze", "--csv", str(path), "--response", response, *options]
    return CliRunner().invoke(main, command)


def _json(folder: Path, content: str, response: str, *options: str) -> dict[str, Any]:
    result = _run(folder, content, response, *options, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def _table(low: tuple[str, str], high: tuple[str, str]) -> str:
    """Return a full design in two factors, run twice, with these levels."""
    rows = [
        f"{(low, high)[i % 2][0]},{(low, high)[i // 2 % 2][1]},{y}" for i, y in enumerate(YIELDS)
    ]
    return "\n".join(["Temp,Time,Yield", *rows, ""])


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (("Low", "Short"), ("High", "Long")),
        (("-", "no"), ("+", "yes")),
        (("5%", "before"), ("10%", "after")),
        (("50 rpm", "off"), ("100 rpm", "on")),
        (("niedrig", "kurz"), ("hoch", "lang")),
        (("낮음", "짧음"), ("높음", "긺")),
    ],
)
def test_effects_of_words_go_from_low_to_high(
    low: tuple[str, str], high: tuple[str, str], tmp_path: Path
) -> None:
    found = _json(tmp_path, _table(low, high), "Yield")
    assert found["terms"]["Temp"]["effect"] == pytest.approx(12.25)
    assert found["terms"]["Time"]["effect"] == pytest.approx(-5.75)
    text = _run(tmp_path, _table(low, high), "Yield").stdout
    assert f"levels of Time: {low[1]} < {high[1]}" in text
    assert f"-5.7500 from {low[1]} to {high[1]}" in text


def test_levels_without_a_known_order_are_named_and_so_is_their_order(tmp_path: Path) -> None:
    table = _table(("sgd", "relu"), ("adam", "tanh"))
    text = _run(tmp_path, table, "Yield").stdout
    assert "levels of Temp: adam, sgd (alphabetical order)" in text
    assert "effect -12.2500 from adam to sgd" in text
    read_as = _json(tmp_path, table, "Yield")["read_as"]
    assert read_as["levels"]["Temp"] == ["adam", "sgd"]
    assert read_as["order"]["Temp"] == "alphabet"


@pytest.mark.parametrize("word", ["None", "NA", "null", "nan", "N/A"])
def test_a_word_for_a_missing_value_is_a_level(word: str, tmp_path: Path) -> None:
    table = _table((word, "relu"), ("zero", "tanh"))
    found = _json(tmp_path, table, "Yield")
    assert set(found["terms"]) == {"intercept", "Temp", "Time", "Temp:Time"}
    assert abs(found["terms"]["Temp"]["effect"]) == pytest.approx(12.25)


def test_a_level_none_beside_a_number_is_a_level(tmp_path: Path) -> None:
    found = _json(tmp_path, _table(("None", "1"), ("5", "2")), "Yield")
    assert found["read_as"]["levels"]["Temp"] == ["5", "None"]


MINITAB = """StdOrder,RunOrder,CenterPt,Blocks,Temp,Time,Yield
1,1,1,1,150,10,60
2,2,1,1,180,10,72
3,3,1,1,150,20,54
4,4,1,1,180,20,68
5,5,1,2,150,10,66
6,6,1,2,180,10,78
7,7,1,2,150,20,61
8,8,1,2,180,20,72
"""


def test_columns_of_minitab_are_left_out_and_its_blocks_offered(tmp_path: Path) -> None:
    found = _json(tmp_path, MINITAB, "Yield")
    assert set(found["decision"]["grid"]) == {"Temp", "Time"}
    assert found["read_as"]["left_out"] == ["StdOrder", "RunOrder", "Blocks"]
    result = _run(tmp_path, MINITAB, "Yield")
    assert "left out: StdOrder, RunOrder, Blocks" in result.stdout
    assert "--block Blocks" in result.stdout
    blocked = _json(tmp_path, MINITAB, "Yield", "--block", "Blocks")
    assert blocked["read_as"]["left_out"] == ["StdOrder", "RunOrder"]
    assert blocked["terms"]["Time"]["p"] < 0.05 < found["terms"]["Time"]["p"]
    # As Minitab does: with the spread of all cells together.
    pooled = _json(tmp_path, MINITAB, "Yield", "--block", "Blocks", "--equal-spread")
    alone = _json(tmp_path, MINITAB, "Yield", "--equal-spread")
    assert pooled["terms"]["Time"]["p"] < 0.01 < alone["terms"]["Time"]["p"]


def test_columns_of_minitab_are_no_factors_of_a_surface(tmp_path: Path) -> None:
    a = 1.414
    points = [(-1, -1), (1, -1), (-1, 1), (1, 1), (-a, 0), (a, 0), (0, -a), (0, a), *[(0, 0)] * 3]
    rows = [
        f"{i},{i},{1 if i < 5 else -1 if i < 9 else 0},1,{x},{y},{10 + x - x * x - y * y + i % 3}"
        for i, (x, y) in enumerate(points, 1)
    ]
    table = "\n".join(["StdOrder,RunOrder,PtType,Blocks,A,B,Result", *rows, ""])
    found = _json(tmp_path, table, "Result", "--surface")
    assert set(found["stationary"]["natural"]) == {"A", "B"}
    assert found["read_as"]["left_out"] == ["StdOrder", "RunOrder", "PtType"]


OPTUNA = """,number,value,datetime_start,datetime_complete,duration,params_lr,params_n_layers,state
0,0,0.81,2024-03-01 10:00:00,2024-03-01 10:01:00,0 days 00:00:10.01,0.001,3,COMPLETE
1,1,0.83,2024-03-01 10:01:00,2024-03-01 10:02:00,0 days 00:01:11.01,0.001,6,COMPLETE
2,2,0.12,2024-03-01 10:02:00,2024-03-01 10:02:10,0 days 00:00:12.01,0.1,3,PRUNED
3,3,0.11,2024-03-01 10:02:10,2024-03-01 10:02:20,0 days 00:01:13.01,0.1,6,PRUNED
4,4,0.71,2024-03-01 10:03:00,2024-03-01 10:04:00,0 days 00:00:14.01,0.1,3,COMPLETE
5,5,0.73,2024-03-01 10:04:00,2024-03-01 10:05:00,0 days 00:01:15.01,0.1,6,COMPLETE
6,6,,2024-03-01 10:05:00,2024-03-01 10:05:10,0 days 00:00:16.01,0.1,3,FAIL
"""


def test_only_complete_trials_of_optuna_count(tmp_path: Path) -> None:
    found = _json(tmp_path, OPTUNA, "value", "--log", "params_lr")
    assert set(found["decision"]["grid"]) == {"params_lr", "params_n_layers"}
    assert found["terms"]["params_lr"]["effect"] == pytest.approx(-0.1)
    assert found["read_as"]["status"] == {
        "column": "state",
        "failed": {"FAIL": 1},
        "left_out": {"PRUNED": 2},
    }
    text = " ".join(_run(tmp_path, OPTUNA, "value").stdout.split())
    assert "failed: 1 FAIL; runs that did not end, left out: 2 PRUNED" in text


#: The columns of MLflow's page, without some.
MLFLOW = """Start Time,Duration,Run ID,Name,Source,User,Status,lr,optimizer,val_accuracy,val_loss
2024-05-01 10:00:01,1.2min,a1,bold-cat-1,train.py,kim,FINISHED,0.001,adam,0.80,0.51
2024-05-01 10:02:01,1.2min,a2,bold-cat-2,train.py,kim,FINISHED,0.1,adam,0.60,0.68
2024-05-01 10:04:01,1.3min,a3,bold-cat-3,train.py,lee,FINISHED,0.001,sgd,0.78,0.53
2024-05-01 10:06:01,5.0s,a4,bold-cat-4,train2.py,lee,FAILED,0.1,sgd,0.99,2.30
2024-05-01 10:08:01,1.1min,a5,bold-cat-5,train2.py,kim,FINISHED,0.1,sgd,0.58,0.69
2024-05-01 10:08:01,1.1min,a6,bold-cat-6,train2.py,lee,RUNNING,0.1,sgd,0.10,2.10
"""


def test_the_status_of_mlflows_page_counts_and_its_other_columns_do_not(tmp_path: Path) -> None:
    found = _json(tmp_path, MLFLOW, "val_accuracy", "--log", "lr")
    assert set(found["decision"]["grid"]) == {"lr", "optimizer"}
    assert found["terms"]["lr"]["effect"] == pytest.approx(-0.2)
    assert {"Duration", "User", "val_loss"} <= set(found["read_as"]["left_out"])
    assert "1 of 5 runs without val_accuracy." in " ".join(found["warnings"])


def test_a_german_table_says_how_it_was_read(tmp_path: Path) -> None:
    table = "Temp;Druck;Ausbeute;Bemerkung\n150;1;60,2;ok, gut\n180;1;72,5;\n150;2,5;54,2;\n"
    result = _run(tmp_path, f"{table}180;2,5;68,1;etwas trüb, Ventil 2\n", "Ausbeute")
    assert "read as: separator ;, decimal comma; left out: Bemerkung" in result.stdout
    assert "from 1 to 2.5" in result.stdout


def test_a_plain_table_needs_no_line_on_how_it_was_read(tmp_path: Path) -> None:
    result = _run(tmp_path, "a,b,y\n1,1,3\n2,1,4\n1,2,5\n2,2,7\n", "y")
    assert "read as" not in result.stdout


def test_truth_values_stay_truth_values_beside_a_blank_row(tmp_path: Path) -> None:
    table = _table(("False", "16"), ("True", "64")) + ",,\n"
    found = _json(tmp_path, table, "Yield")
    assert found["decision"]["corner"] == {"Temp": True, "Time": 16}
    assert "from False to True" in _run(tmp_path, table, "Yield").stdout


def test_levels_that_differ_in_spelling_or_in_the_last_digit_are_one(tmp_path: Path) -> None:
    rows = ["high,0.1,10", "High ,0.1,11", "low,0.1,20", "low,0.1,21"]
    rows += ["high,0.3,12", "high,0.30000000000000004,13", "low,0.3,22", " low,0.3,23"]
    table = "\n".join(["Kat,rate ,Y", *rows, ""])
    found = _json(tmp_path, table, "Y")
    assert found["read_as"]["levels"] == {"Kat": ["low", "high"], "rate": [0.1, 0.3]}
    assert found["read_as"]["spellings"] == {"Kat": {"High": "high"}}
    assert found["terms"]["Kat"]["effect"] == pytest.approx(-10)
    assert "High of Kat is high" in _run(tmp_path, table, "Y").stdout


def test_a_second_response_is_left_out_with_a_reason(tmp_path: Path) -> None:
    defects = (0, 1, 0, 1, 0, 0, 0, 1)
    lines = _table(("-1", "-1"), ("1", "1")).splitlines()
    rows = [f"{line},{defect}" for line, defect in zip(lines[1:], defects, strict=True)]
    table = "\n".join([f"{lines[0]},Defect", *rows, ""])
    found = _json(tmp_path, table, "Yield")
    assert set(found["decision"]["grid"]) == {"Temp", "Time"}
    assert "Defect is taken as another response" in " ".join(found["notes"])
    options = [x for name in ("Temp", "Time", "Defect") for x in ("--factor", name)]
    assert "Defect" in _json(tmp_path, table, "Yield", *options)["decision"]["grid"]


def test_large_levels_are_analysed(tmp_path: Path) -> None:
    found = _json(tmp_path, _table(("1e15", "900"), ("1e20", "1000")), "Yield")
    assert found["terms"]["Temp"]["effect"] == pytest.approx(12.25)


def test_a_level_at_the_zero_of_a_scale_is_zero(tmp_path: Path) -> None:
    found = _json(tmp_path, _table(("0.3", "0.1"), ("0.1", "0.3")), "Yield")
    assert found["decision"]["grid"]["Time"][0] == 0


FAULTS = {
    "a column twice": ("a,y,a\n1,2,3\n", "y", ("'a' occurs twice", "rename")),
    "rows longer than the header": ("a,y\n1,2,3\n2,3,4\n", "y", ("line 2", "3 fields")),
    "a number too large": (
        "a,y\n1,2\n1,1e308\n2,3\n",
        "y",
        ("row 2", "y is 1e+308", "use a larger unit"),
    ),
    "a level too large": ("a,y\n1,2\n1e308,1\n1,4\n1e308,2\n", "y", ("row 2", "a is 1e+308")),
    "differences too small": ("a,y\n1,0\n1,1e-320\n2,2e-320\n", "y", ("y changes by less",)),
    "a name with another spelling": ("aa,yield\n1,2\n2,3\n", "Yield", ("did you mean 'yield'?",)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_table_that_would_mislead_is_refused_in_one_line(fault: str, tmp_path: Path) -> None:
    content, response, texts = FAULTS[fault]
    result = _run(tmp_path, content, response)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    for text in texts:
        assert text in result.stderr
