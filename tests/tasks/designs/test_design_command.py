import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from flows.cli import main
from tasks.designs.request import OPTIONS, factor_of

LAYERS = ("--factor", "conv_layers=3,6")
RATE = ("--factor", "learning_rate=0.001,0.1")
UNITS = ("--factor", "units=32,128:log")
OPTIMIZER = ("--factor", "optimizer=adam,sgd")
DROPOUT = ("--factor", "drop=0,0.5")


def _run(*arguments: object) -> Any:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def _design(kind: str, *options: object) -> dict[str, Any]:
    result = _run("design", kind, *options, "--json")
    assert result.exit_code == 0, result.output
    content: dict[str, Any] = json.loads(result.stdout)
    return content


def test_a_factor_is_read_as_in_a_study_file() -> None:
    rate, layers = factor_of("learning_rate=0.001,0.1"), factor_of("conv_layers=3,6")
    assert (rate.scale, rate.levels) == ("log", (0.001, 0.1))
    assert (layers.scale, layers.levels) == ("integer", (3, 6))
    assert factor_of("size=1.5,3").scale == "linear"
    assert factor_of("size=10,1000:log").scale == "log"
    augment = factor_of("augment=false,true")
    assert (augment.scale, augment.levels) == ("categorical", (False, True))
    builder = factor_of("builder=mine:small,mine:large")
    assert (builder.scale, builder.levels) == ("categorical", ("mine:small", "mine:large"))


def test_the_runs_and_what_they_estimate_are_printed() -> None:
    result = _run("design", "fraction", *LAYERS, *RATE, *OPTIMIZER, *DROPOUT, "--runs", 8)
    assert result.exit_code == 0
    assert "of resolution IV: 4 factors, 8 runs" in result.stdout
    assert "Generators: drop = conv_layers:learning_rate:optimizer" in result.stdout
    assert "  conv_layers:learning_rate = optimizer:drop" in result.stdout
    assert len(result.stdout.rstrip().split("\n\n")[-1].splitlines()) == 9


def test_the_seed_decides_the_order() -> None:
    one, same, other = (_design("full", *LAYERS, *RATE, "--seed", s) for s in (1, 1, 2))
    assert one["runs"] == same["runs"] != other["runs"]
    assert [run["run"] for run in other["runs"]] == [1, 2, 3, 4]


def test_replicates_blocks_and_centre_points_are_in_the_design() -> None:
    options = ("--replicates", 2, "--centre-points", 3, "--blocks")
    runs = pd.DataFrame(_design("full", *LAYERS, *RATE, *options)["runs"])
    assert len(runs) == 2 * (4 + 3)
    assert runs.groupby("block")["centre"].sum().tolist() == [3, 3]


#: Five factors, of which the first has an effect.
FIVE = [part for i in range(5) for part in ("--factor", f"x{i}=1,4.5")]
ROUND_TRIPS = {
    "full": (*LAYERS, *RATE, *OPTIMIZER, "--replicates", "2"),
    "full with centre points": (*LAYERS, *UNITS, "--centre-points", "4"),
    "fraction by runs": (*FIVE, "--runs", "16"),
    "fraction by resolution": (*FIVE, "--resolution", "5", "--replicates", "2", "--blocks"),
    "plackett-burman": (*FIVE, "--runs", "12"),
    "central-composite": (*UNITS, *RATE, "--axial", "spherical"),
    "central-composite faced": (*UNITS, *RATE, "--axial", "faced"),
    "box-behnken": FIVE[:6],
    "definitive-screening": FIVE,
    "definitive-screening with centre points": (*FIVE, "--centre-points", "3"),
}


@pytest.mark.parametrize("case", ROUND_TRIPS)
def test_the_file_is_read_by_analyze_once_it_has_a_response(case: str, tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    kind, *_ = case.split()
    made = _design(kind, *ROUND_TRIPS[case], "--out", path)
    runs = pd.read_csv(path)
    assert len(runs) == len(made["runs"])
    assert list(runs)[1:-3] == [factor["name"] for factor in made["factors"]]
    first = made["factors"][0]
    noise = np.random.default_rng(3).normal(0, 0.01, len(runs))
    higher = runs[first["name"]] > np.sqrt(first["low"] * first["high"])
    runs.assign(y=higher + noise).to_csv(path, index=False)
    text = _run("design", kind, *ROUND_TRIPS[case], "--out", tmp_path / "again.csv")
    # The printed command, with the name of the response.
    command = text.stdout.partition("then: factorgrid ")[2].split()
    options = [path if "again" in x else x.replace("COLUMN", "y") for x in command]
    result = _run(*options, "--json")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    names = {factor["name"] for factor in made["factors"]}
    if "--surface" in options:
        assert names < set(content["terms"])
        assert content["model"] == ("quadratic" if "screening" in kind else "second")
    else:
        assert first["name"] in content["active"]
        assert names <= set(content["decision"]["grid"])


def test_a_definitive_screening_says_what_it_estimates_and_how_it_is_fitted(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    result = _run("design", "definitive-screening", *FIVE, "--out", path)
    assert result.exit_code == 0, result.output
    assert "definitive screening design: 5 factors, 13 runs (1 of them centre points)" in (
        result.stdout
    )
    assert "--surface" in result.stdout
    assert sorted(set(pd.read_csv(path)["x0"])) == [1, 2.75, 4.5]


def test_a_fold_over_keeps_the_responses_of_the_first_runs(tmp_path: Path) -> None:
    path, folded = tmp_path / "runs.csv", tmp_path / "folded.csv"
    made = _design("plackett-burman", *FIVE, "--runs", 8, "--out", path)
    assert made["resolution"] == 3
    pd.read_csv(path).assign(y=np.arange(8.0)).to_csv(path, index=False)
    content = _design("fold-over", "--csv", path, "--out", folded)
    assert content["resolution"] == 4
    assert content["file"] == str(folded)
    runs = pd.read_csv(folded)
    assert runs["y"].tolist()[:8] == list(range(8))
    assert runs["y"].isna().sum() == 8
    assert runs["block"].tolist() == [1] * 8 + [2] * 8
    assert content["runs"][8]["y"] is None
    runs.assign(y=np.sin(runs["run"]) + (runs["x0"] > 2) * 9).to_csv(folded, index=False)
    result = _run("analyze", "--csv", folded, "--response", "y", "--block", "block", "--json")
    assert "x0" in json.loads(result.stdout)["active"]


def test_a_fold_over_on_one_factor_changes_its_levels_only(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    _design("fraction", *FIVE[:6], "--runs", 4, "--out", path)
    content = _design("fold-over", "--csv", path, "--on", "x0")
    assert content["generators"] == []
    named = _design("fold-over", "--csv", path, "--factor", "x0", "--factor", "x1=1,4.5")
    assert [factor["name"] for factor in named["factors"]] == ["x0", "x1"]


def test_a_design_says_the_smallest_effect_that_it_finds_in_units_of_the_response() -> None:
    options = ("full", *LAYERS, *RATE, *OPTIMIZER, "--replicates", 2)
    content = _design(*options, "--sd", 0.02)
    found, twice = content["smallest_effect"], content["smallest_effect_with_twice_the_runs"]
    assert (found["test"], found["error_df"], twice["error_df"]) == ("pooled", 8, 24)
    assert (found["power"], found["alpha"]) == (0.8, 0.05)
    assert found["in_units_of_the_response"] == pytest.approx(
        0.02 * found["in_standard_deviations"]
    )
    more = _design("full", *LAYERS, *RATE, *OPTIMIZER, "--replicates", 4)["smallest_effect"]
    # The simulated runs have another order.
    assert twice["in_standard_deviations"] == pytest.approx(
        more["in_standard_deviations"], rel=0.03
    )
    assert more["in_units_of_the_response"] is None
    text = " ".join(_run("design", *options, "--sd", 0.02).stdout.split())
    assert f"An effect of {found['in_units_of_the_response']:.4g} (" in text
    assert "With every run made twice, 32 runs: an effect of 0.0" in text


def test_blocks_take_degrees_of_freedom_from_the_error() -> None:
    options = ("full", *LAYERS, *RATE, *OPTIMIZER, "--replicates", 2, "--blocks")
    content = _design(*options)
    assert content["smallest_effect"]["error_df"] == 7
    # Four blocks of eight cells.
    assert content["smallest_effect_with_twice_the_runs"]["error_df"] == 21


def test_a_second_order_design_has_the_power_of_its_t_tests() -> None:
    # Main effects of a central composite of two factors: 4 corners and 4 axial points at 1.414.
    found = _design("central-composite", *UNITS, "--factor", "x=0,1:linear", "--sd", 2)
    effect = found["smallest_effect"]
    assert effect["error_df"] == 13 - 6
    assert effect["in_standard_deviations"] == pytest.approx(2 * 3.3 / 8**0.5, rel=0.03)
    five = _design("definitive-screening", *FIVE)["smallest_effect"]
    assert five["error_df"] == 13 - 11
    four = _design("definitive-screening", *FIVE[:8])
    assert four["smallest_effect"]["test"] == "none"
    assert four["smallest_effect_with_twice_the_runs"]["test"] == "pooled"


BAD: dict[str, tuple[tuple[object, ...], tuple[str, ...]]] = {
    "an unknown kind": (("latin-square", *RATE), ("'latin-square'", "full, fraction, plackett")),
    "blocks of one replicate": (("full", *RATE, "--blocks"), ("--blocks", "--replicates 2")),
    "no factors": (("full",), ("full: no factors", "--factor NAME=LOW,HIGH")),
    "three numbers": (("full", "--factor", "a=1,2,3"), ("not two levels", "NAME=LOW,HIGH")),
    "a category twice": (("full", "--factor", "a=x,y,y"), ("the value y is given twice",)),
    "categories in a Plackett-Burman design": (
        ("plackett-burman", *FIVE, "--factor", "a=x,y,z"),
        ("factor a: a Plackett-Burman design has two levels",),
    ),
    "three categories in a composite": (
        ("central-composite", *RATE, *LAYERS, "--factor", "a=x,y,z"),
        ("factor a: categorical",),
    ),
    "one level": (("full", "--factor", "a=1"), ("--factor a=1", "NAME=LOW,HIGH")),
    "no levels": (("full", "--factor", "a"), ("--factor a", "NAME=LOW,HIGH")),
    "equal levels": (("full", "--factor", "a=1,1"), ("a: low 1", "widen")),
    "text on a log scale": (("full", "--factor", "a=x,y:log"), ("'x'", "categorical")),
    "a column of analyze's": (("full", "--factor", "seed=1,2"), ("--factor seed", "rename")),
    "a factor twice": (("full", *RATE, *RATE), ("learning_rate is named twice",)),
    "eight factors": (("full", *FIVE, *RATE, *LAYERS, *UNITS), ("8 factors", "1 to 7")),
    "neither runs nor resolution": (("fraction", *FIVE), ("either", "resolution", "runs")),
    "both": (("fraction", *FIVE, "--runs", 8, "--resolution", 3), ("either",)),
    "runs without a fraction": (("fraction", *FIVE, "--runs", 4), ("runs: 16, 8",)),
    "two factors in a fraction": (("fraction", *RATE, *LAYERS, "--runs", 2), ("3 to 15",)),
    "too high a resolution": (
        ("fraction", *FIVE, "--factor", "b=1,2", *RATE, *LAYERS, "--resolution", 6),
        ("resolution 6 of 8 factors", "request 5"),
    ),
    "ten runs": (("plackett-burman", *FIVE, "--runs", 10), ("multiple of 4", "8 to 48")),
    "too many factors for the runs": (
        ("plackett-burman", *FIVE, *RATE, *LAYERS, *UNITS, "--runs", 8),
        ("8 factors in 8 runs",),
    ),
    "one factor": (("central-composite", *RATE), ("1 factor:", "2 to 6")),
    "a category in a composite": (("central-composite", *RATE, *OPTIMIZER), ("categorical",)),
    "outside the domain": (("central-composite", *RATE, "--factor", "dropout=0,0.5"), ("faced",)),
    "an unknown distance": (
        ("central-composite", *RATE, *UNITS, "--axial", "far"),
        ("--axial far", "rotatable"),
    ),
    "a distance below zero": (("central-composite", *RATE, *UNITS, "--axial", -1), ("above 0",)),
    "two factors in a screening": (
        ("definitive-screening", *RATE, *UNITS),
        ("2 factors", "3 to 12"),
    ),
    "a screening without a centre": (
        ("definitive-screening", *FIVE, "--centre-points", 0),
        ("definitive screening design needs 1 or more",),
    ),
    "two factors in a box": (("box-behnken", *RATE, *UNITS), ("2 factors", "3 to 7")),
    "no centre points": (("box-behnken", *FIVE, "--centre-points", 0), ("1 or more",)),
    "an option of another kind": (("full", *RATE, "--runs", 8), ("--runs", "plackett-burman")),
    "no file to fold over": (("fold-over",), ("--csv FILE",)),
    "a file that is missing": (("fold-over", "--csv", "nowhere.csv"), ("no such file",)),
    "no spread": (("full", *RATE, "--sd", 0), ("--sd 0", "above 0")),
    "a spread that is no number": (("full", *RATE, "--sd", "nan"), ("--sd nan", "above 0")),
    "no replicate": (("full", *RATE, "--replicates", 0), ("1 or more",)),
    "a folder that is missing": (("full", *RATE, "--out", "/nowhere/a.csv"), ("/nowhere/a.csv",)),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_design_is_one_line_and_exit_status_2(fault: str) -> None:
    arguments, expected = BAD[fault]
    result = _run("design", *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    for text in expected:
        assert text in result.stderr


def test_a_table_that_is_no_two_level_design_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    for text, expected in (
        ("a,b\n1,1\n2,2\n1,3\n2,4\n1,1\n2,2\n1,3\n2,4\n", "4 levels"),
        ("a,b\n1,1\n2,\n1,2\n2,1\n", "row 2: no level of b"),
        ("a,b\n1,1\n1,1\n", "no factors"),
        ("a,b\n1,1\n1,2\n2,1\n3,2\n2,2\n", "row 3: neither"),
    ):
        path.write_text(text)
        result = _run("design", "fold-over", "--csv", path)
        assert (result.exit_code, result.stdout) == (2, "")
        assert expected in result.stderr


def test_a_file_that_exists_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("a,b,y\n")
    result = _run("design", "full", *RATE, "--out", path)
    assert result.exit_code == 2
    assert "may hold responses" in result.stderr
    assert path.read_text() == "a,b,y\n"


def test_every_option_of_the_command_belongs_to_a_kind() -> None:
    options = {option.name for option in main.commands["design"].params}
    assert options - set().union(*OPTIONS.values()) == {"kind", "sd", "seed", "out", "as_json"}


def test_a_design_with_three_categories_is_analysed_as_it_was_made(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    three = ("--factor", "c=u,v,w")
    content = _design("fraction", *FIVE, *three, "--runs", 16, "--out", path)
    assert content["factors"][-1]["values"] == ["u", "v", "w"]
    runs = pd.read_csv(path)
    assert set(runs["c"]) == {"u", "v", "w"}
    runs["y"] = runs["c"].map({"u": 0.0, "v": 1.0, "w": 2.0}) + 0.01 * np.arange(len(runs)) % 3
    runs.to_csv(path, index=False)
    found = json.loads(_run("analyze", "--csv", path, "--response", "y", "--json").stdout)
    assert {"c[v]", "c[w]"} <= set(found["terms"])
    assert found["decision"]["grid"]["c"] == ["w"]
