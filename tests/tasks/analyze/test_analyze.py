import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from support.small_study import Done, factorgrid

from flows.cli import main
from tasks.analyze.read_runs import runs_of_experiment
from tasks.errors import UserError
from tasks.settings import Settings
from tasks.tracking.tracker import Tracker

PAPER = """conv,fc,lr,accuracy
3,1,0.001,0.80875
3,1,0.1,0.58205
3,3,0.001,0.79965
3,3,0.1,0.50155
6,1,0.001,0.88805
6,1,0.1,0.66115
6,3,0.001,0.90795
6,3,0.1,0.50125
"""
#: `paper.csv` with its columns: every fault is a line on top of it.
TABLES = {
    "paper": PAPER,
    "constant": "a,b,y\n1,x,3\n1,z,3\n2,x,3\n2,z,3\n",
    "one": "a,b,y\n1,x,3\n",
    "text": "a,b,y\n1,x,3\n1,z,much\n2,x,4\n2,z,5\n",
    "three": "a,b,y\n1,x,3\n2,x,4\n5,x,5\n7,x,5\n1,z,3\n2,z,4\n5,z,5\n7,z,5.5\n",
    "gap": "a,b,y\n1,x,3\n,z,4\n2,x,5\n2,z,6\n",
    "twice": "a,b,y\n1,x,3\n1,x,3\n1,z,2\n2,x,4\n2,z,5\n",
    "uneven": "a,b,y\n1,x,3\n1,x,3.5\n1,z,2\n2,x,4\n2,z,5\n2,z,5.2\n2,z,5.1\n",
    "half": "a,b,c,y\n1,1,2,3\n1,2,1,3.5\n2,1,1,2\n2,2,2,4\n",
    "negative": "a,b,y\n1,x,-3\n1,z,-2\n2,x,-4\n2,z,-5\n",
    "known": "a,b,y,collapsed\n1,x,0.5,yes\n1,z,0.6,no\n2,x,0.7,no\n2,z,0.8,no\n",
    "empty": "",
    "headed": "a,b,y\n",
    "machines": "a,b,m,y\n"
    + "\n".join(
        f"{a},{b},m{plot},{0.3 * b + 0.1 * plot + 0.01 * ((7 * plot + 3 * b) % 5)}"
        for plot in range(6)
        for a in [plot % 2]
        for b in (0, 1)
    ),
    "no machine": "a,b,m,y\n0,0,,1\n0,1,m0,2\n1,0,m1,3\n1,1,m1,4\n0,0,m2,1\n1,1,m3,1\n",
    "european": "a;b;y\n1,5;x;3,5\n2,5;x;3\n1,5;z;2\n2,5;z;5\n",
}


def _run(folder: Path, table: str, *options: str, response: str = "y") -> Any:
    path = folder / f"{table}.csv"
    if table in TABLES:
        path.write_text(TABLES[table])
    arguments = ["analyze", "--csv", str(path), "--response", response, *options]
    return CliRunner().invoke(main, arguments)


def test_the_papers_table_in_json(tmp_path: Path) -> None:
    options = ("--order", "2", "--log", "lr", "--classes", "0", "--json")
    result = _run(tmp_path, "paper", *options, response="accuracy")
    assert result.exit_code == 0
    content = json.loads(result.stdout)
    assert content["residual_df"] == 1
    assert content["r_squared"] == pytest.approx(0.9924, abs=5e-5)
    assert content["terms"]["lr"] == pytest.approx(
        {
            "coefficient": -0.1448,
            "effect": -0.2896,
            "std_error": 0.01355,
            "t": -10.686,
            "p": 0.0594,
            "ci_low": -0.31697,
            "ci_high": 0.02737,
            "sum_of_squares": 0.16774,
        },
        rel=1e-3,
    )
    assert content["terms"]["intercept"]["effect"] is None
    assert content["lenth"]["pse"] == pytest.approx(0.06345)
    assert set(content["lenth"]) >= {"pse", "me", "sme"}
    # Box and Meyer's probability of the learning rate and of the three-way interaction.
    assert content["box_meyer"]["lr"]["probability"] > 0.9
    assert content["box_meyer"]["conv:fc:lr"]["probability"] < 0.1
    assert content["active"] == ["lr"]
    assert content["decision"]["grid"] == {
        "conv": [6, 7],
        "fc": [1, 2],
        "lr": [0.0001, 0.001, 0.01],
    }


def test_the_shares_of_aliases_are_written_without_rounding_errors(tmp_path: Path) -> None:
    content = json.loads(_run(tmp_path, "half", "--order", "2", "--json").stdout)
    shares = [share for alias in content["aliases"].values() for share in alias.values()]
    assert shares
    assert all(share in {-1, 1} for share in shares)


def test_the_text_names_the_test_that_judged(tmp_path: Path) -> None:
    result = _run(tmp_path, "paper", "--classes", "0", response="accuracy")
    text = " ".join(result.stdout.split())
    assert "Lenth's method" in text
    assert "12.7" in text
    assert "lr: active" in text


def test_a_saturated_model_has_no_standard_errors(tmp_path: Path) -> None:
    result = _run(tmp_path, "paper", "--order", "3", "--json", response="accuracy")
    content = json.loads(result.stdout)
    assert content["residual_df"] == 0
    assert content["terms"]["conv:fc:lr"]["p"] is None
    assert content["lenth"]["pse"] == pytest.approx(0.06345)


FAULTS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "a constant response": ("constant", (), ("never changes", "choose another response")),
    "one run": ("one", (), ("1 of 1 runs", "add runs")),
    "text for a number": ("text", (), ("row 2", "'much'", "not a number")),
    "four levels": ("three", (), ("a has 4 levels (1, 2, 5, 7)", "--factor a=1,7")),
    "a level that is missing": ("gap", (), ("row 2", "no level of a")),
    "no file": ("nowhere", (), ("nowhere.csv", "no such file")),
    "an empty file": ("empty", (), ("empty.csv", "cannot be read")),
    "a file without rows": ("headed", (), ("no rows",)),
    "an unknown factor": ("uneven", ("--factor", "q"), ("'q'", "a, b, y")),
    "a level that is not there": ("uneven", ("--factor", "a=1,7"), ("no run at 7", "1, 2")),
    "one level": ("uneven", ("--factor", "a=1"), ("NAME=LOW,HIGH",)),
    "an unknown factor on a log scale": ("uneven", ("--log", "q"), ("'q'",)),
    "text on a log scale": ("uneven", ("--log", "b"), ("'x' is not a number",)),
    "an aliased term": ("half", ("--terms", "a,b:c"), ("b:c = a", "request only one")),
    "an unknown term": ("half", ("--terms", "a,q"), ("'q'", "a, b, c")),
    "alpha above 1": ("uneven", ("--alpha", "2"), ("--alpha 2", "between 0 and 1")),
    "order 0": ("uneven", ("--order", "0"), ("order 0", "raise it")),
    "a share above 1": ("uneven", ("--scale", "logit"), ("not a share", "raw")),
    "an order beside terms": ("uneven", ("--terms", "a", "--order", "1"), ("--order", "--terms")),
    "images of a raw response": ("uneven", ("--images", "40"), ("--images", "--scale")),
    "a budget of a surface": ("uneven", ("--surface", "--budget", "4"), ("--budget", "--surface")),
    "an order of a surface": ("uneven", ("--surface", "--order", "1"), ("--order", "--surface")),
    "terms of a surface": ("uneven", ("--surface", "--terms", "a"), ("--terms", "--surface")),
    "a scale of a surface": ("uneven", ("--surface", "--scale", "logit"), ("--scale", "--surface")),
    "dispersion of a surface": ("uneven", ("--surface", "--dispersion"), ("--dispersion",)),
    "a log scale of no factor": (
        "uneven",
        ("--factor", "a", "--log", "b"),
        ("--log b: not one of the factors, a",),
    ),
    "one class": ("uneven", ("--classes", "1"), ("--classes 1", "2 or more")),
    "classes of what is no accuracy": (
        "negative",
        ("--classes", "2"),
        ("--classes 2: y is not an accuracy", "name another response"),
    ),
    "classes beside a column of collapsed runs": (
        "known",
        ("--classes", "2"),
        ("--classes 2", "'collapsed'", "leave one of them out"),
    ),
    "classes of a surface": ("uneven", ("--surface", "--classes", "2"), ("--classes",)),
    "no room": ("uneven", ("--budget", "0"), ("budget 0", "raise it")),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_input_is_one_line_and_exit_status_2(fault: str, tmp_path: Path) -> None:
    table, options, words = FAULTS[fault]
    result = _run(tmp_path, table, *options)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    for word in words:
        assert word in result.stderr


def test_neither_or_both_sources_is_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["analyze", "--response", "y"])
    assert result.exit_code == 2
    assert "either --csv FILE or --experiment NAME" in result.stderr


WARNED = {
    "an unbalanced table": ("uneven", "Unbalanced: 1 to 3 runs per cell"),
    "a copied run": ("twice", "equal to another run in every column: 1."),
    "an aliased term": ("half", "b:c = a"),
}


@pytest.mark.parametrize("case", WARNED)
def test_a_table_with_a_flaw_is_analysed_with_a_warning(case: str, tmp_path: Path) -> None:
    table, words = WARNED[case]
    result = _run(tmp_path, table)
    assert result.exit_code == 0
    assert words in result.stdout


def test_semicolons_and_decimal_commas_are_read(tmp_path: Path) -> None:
    content = json.loads(_run(tmp_path, "european", "--json").stdout)
    assert content["terms"]["intercept"]["coefficient"] == pytest.approx(3.375)


def test_runs_at_other_levels_are_left_out_with_a_note(tmp_path: Path) -> None:
    result = _run(tmp_path, "three", "--factor", "a=1,7", "--factor", "b")
    assert result.exit_code == 0
    assert "which are left out: 4 of 8" in " ".join(result.stdout.split())


def test_minimise_prefers_a_lower_response(tmp_path: Path) -> None:
    result = _run(tmp_path, "paper", "--minimise", "--json", response="accuracy")
    assert json.loads(result.stdout)["decision"]["corner"]["lr"] == 0.1


def test_the_figures_are_written_to_the_named_folder(tmp_path: Path) -> None:
    result = _run(tmp_path, "paper", "--plots", str(tmp_path / "figures"), response="accuracy")
    assert result.exit_code == 0
    names = {path.stem for path in (tmp_path / "figures").glob("*.png")}
    every = {"pareto", "half_normal", "main_effects", "interactions", "cube"}
    # Two of the published runs are at the accuracy of guessing.
    assert names == every | {f"learned_{name}" for name in every}


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    home = tmp_path_factory.mktemp("home")
    return Tracker.open(Settings(home, f"sqlite:///{home / 'mlflow.db'}"))


@pytest.fixture(scope="module")
def foreign(tracker: Tracker) -> str:
    """Log the paper's eight runs as another program would; one more failed, one has no params."""
    experiment = tracker.experiment("theirs")
    client = tracker.client
    rows = [line.split(",") for line in PAPER.splitlines()]
    for row in rows[1:]:
        run = client.create_run(experiment).info.run_id
        for name, level in zip(rows[0][:3], row[:3], strict=True):
            client.log_param(run, name, level)
        client.log_param(run, "epochs", 20)
        client.log_metric(run, "accuracy", float(row[3]))
        client.set_terminated(run)
    failed = client.create_run(experiment).info.run_id
    for name, level in zip(rows[0][:3], ("3", "1", "0.001"), strict=True):
        client.log_param(failed, name, level)
    client.set_terminated(failed, "FAILED")
    client.set_terminated(client.create_run(experiment).info.run_id)
    return "theirs"


def test_an_experiment_that_another_program_logged_is_analysed(
    tracker: Tracker, foreign: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACTORGRID_HOME", str(tracker.settings.home))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracker.settings.tracking_uri)
    arguments = ["analyze", "--experiment", foreign, "--response", "accuracy", "--json"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert content["decision"]["grid"]["lr"] == [0.0001, 0.001, 0.01]
    assert content["decision"]["grid"]["conv"] == [6, 7]
    assert "1 of 9 runs without accuracy." in " ".join(content["warnings"])


def test_an_unknown_metric_names_the_existing_ones(tracker: Tracker, foreign: str) -> None:
    with pytest.raises(UserError, match="'loss'; there are: accuracy"):
        runs_of_experiment(tracker, foreign, "loss")


def test_runs_come_back_in_the_order_they_were_made(tracker: Tracker, foreign: str) -> None:
    table: pd.DataFrame = runs_of_experiment(tracker, foreign, "accuracy")
    assert table["accuracy"].iloc[0] == pytest.approx(0.80875)
    assert table["accuracy"].isna().sum() == 1


def test_a_study_is_analysed_as_a_whole_and_its_cost_is_a_response_too(done: Done) -> None:
    whole = factorgrid("analyze", "--experiment", "tiny", "--json", home=done.home)
    assert whole.returncode == 0, whole.stderr
    assert "registered" in json.loads(whole.stdout)
    options = ("--response", "train_seconds", "--minimise", "--json")
    cost = factorgrid("analyze", "--experiment", "tiny", *options, home=done.home)
    assert cost.returncode == 0, cost.stderr
    content = json.loads(cost.stdout)
    assert set(content["decision"]["grid"]) == set(done.outcome["screen"]["decision"]["grid"])


#: Montgomery (2013), table 11.6, in natural units.
CENTRAL_COMPOSITE = """time,temp,y
80,170,76.5
80,180,77.0
90,170,78.0
90,180,79.5
85,175,79.9
85,175,80.3
85,175,80.0
85,175,79.7
85,175,79.8
92.07106781,175,78.4
77.92893219,175,75.6
85,182.07106781,78.5
85,167.92893219,77.0
"""


def test_a_second_order_design_has_a_surface(tmp_path: Path) -> None:
    (tmp_path / "composite.csv").write_text(CENTRAL_COMPOSITE)
    options = ("--surface", "--plots", str(tmp_path / "figures"), "--json")
    result = _run(tmp_path, "composite", *options)
    assert result.exit_code == 0, result.stderr
    content = json.loads(result.stdout)
    natural = content["stationary"]["natural"]
    assert natural == pytest.approx({"time": 86.95, "temp": 176.53}, abs=0.005)
    assert content["stationary"]["kind"] == "maximum"
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["contours.png"]
    assert "maximum at time" in _run(tmp_path, "composite", "--surface").stdout
    assert "--surface" in _run(tmp_path, "composite").stderr


def test_a_column_with_a_reserved_name_is_a_factor_if_it_is_named(tmp_path: Path) -> None:
    text = PAPER.replace("conv", "block")
    (tmp_path / "named.csv").write_text(text)
    names = ("--factor", "block", "--factor", "fc", "--factor", "lr")
    found = json.loads(_run(tmp_path, "named", *names, "--json", response="accuracy").stdout)
    assert found["decision"]["grid"]["block"] == [6, 7]
    left = json.loads(_run(tmp_path, "named", "--json", response="accuracy").stdout)
    assert left["read_as"]["left_out"] == ["block"]
    assert "--block block" in " ".join(left["notes"])


def test_at_a_level_that_always_collapses_the_other_factors_are_not_judged(tmp_path: Path) -> None:
    lines = PAPER.splitlines()
    marked = [
        f"{lines[0]},collapsed",
        *(f"{x},{'true' if ',0.1,' in x else 'no'}" for x in lines[1:]),
    ]
    (tmp_path / "marked.csv").write_text("\n".join(marked) + "\n")
    result = _run(tmp_path, "marked", "--json", response="accuracy")
    content = json.loads(result.stdout)
    assert content["half"]["factor"] == "lr"
    assert content["half"]["effects"]["conv"] == pytest.approx(0.0938, abs=5e-5)


SEEDED = "a,b,seed,y\n" + "".join(
    f"{a},{b},{seed},{a + 10 * seed + 0.1 * ((a * 7 + b * 3 + seed * 5) % 4)}\n"
    for seed in (1, 2, 3)
    for a in (1, 2)
    for b in (1, 2)
)


def test_seeds_that_all_cells_share_are_blocks_and_this_is_noted(tmp_path: Path) -> None:
    (tmp_path / "seeded.csv").write_text(SEEDED)
    found = json.loads(_run(tmp_path, "seeded", "--json").stdout)
    named = json.loads(_run(tmp_path, "seeded", "--block", "seed", "--json").stdout)
    assert "blocks" in found["anova"]
    assert found["terms"] == named["terms"]
    assert any("taken as blocks" in note for note in found["notes"])
    assert "a" in found["active"]
    without = json.loads(_run(tmp_path, "seeded", "--block", "none", "--json").stdout)
    assert "blocks" not in without["anova"]
    assert without["active"] == []
    assert not any("taken as blocks" in note for note in without["notes"])


def test_seeds_that_only_some_cells_share_are_noted(tmp_path: Path) -> None:
    (tmp_path / "seeded.csv").write_text(SEEDED.replace("1,1,1,", "1,1,9,"))
    found = json.loads(_run(tmp_path, "seeded", "--json").stdout)
    assert "blocks" not in found["anova"]
    assert any("--block seed" in note for note in found["notes"])


def test_the_spread_of_cells_is_equal_if_this_is_requested(tmp_path: Path) -> None:
    rows = ["1,3.0", "1,3.1", "1,2.9", "1,3.0", "2,1.0", "2,9.0", "2,5.0", "2,4.0"]
    (tmp_path / "spread.csv").write_text("a,y\n" + "\n".join(rows) + "\n")
    found = json.loads(_run(tmp_path, "spread", "--json").stdout)
    assert found["verdict"]["test"] == "welch"
    assert "(Welch)" in found["verdict"]["text"]
    pooled = json.loads(_run(tmp_path, "spread", "--equal-spread", "--json").stdout)
    assert pooled["verdict"]["test"] == "pooled"


def test_runs_that_only_guess_are_found_where_the_response_is_an_accuracy(tmp_path: Path) -> None:
    content = json.loads(_run(tmp_path, "paper", "--json", response="accuracy").stdout)
    (note,) = (text for text in content["notes"] if "collapsed" in text)
    assert "collapsed: 2 of 8;" in note
    assert "among 2 classes" in note
    assert "1,000 images" in note
    assert content["verdict"]["test"] == "none"
    assert content["active"] == []
    levels = {(row["factor"], row["level"]): row for row in content["collapse"]["levels"]}
    assert levels["fc", 3]["collapsed"] == 2
    assert levels["fc", 1]["collapsed"] == 0
    # 2 of 4 against none of 4: C(4,2) / C(8,2) = 3/14, and as much in the other tail.
    assert content["collapse"]["p"]["fc"] == pytest.approx(3 / 7)
    assert content["half"]["runs"] == 6
    assert content["half"]["factor"] is None
    # The dense layers' effect of the published text is that of the runs at 0.5.
    assert content["half"]["effects"]["fc"] > 0 > content["terms"]["fc"]["effect"]


def test_classes_and_images_that_are_given_are_used_and_named(tmp_path: Path) -> None:
    options = ("--classes", "2", "--images", "100", "--json")
    content = json.loads(_run(tmp_path, "paper", *options, response="accuracy").stdout)
    (note,) = (text for text in content["notes"] if "collapsed" in text)
    # 0.5 + 3.09 * 0.05 = 0.6545, so 0.58205 may be guessing, too.
    assert "collapsed: 3 of 8;" in note
    assert "0.655" in note
    assert "if measured on" not in note


def test_the_text_gives_both_parts_of_the_model(tmp_path: Path) -> None:
    text = " ".join(_run(tmp_path, "paper", response="accuracy").stdout.split())
    assert "Chance of collapse" in text
    assert "fc = 3 2 of 4" in text
    assert "On the 6 runs that learned" in text
    assert "The effects on all runs are not tested, because 2 of these runs collapsed" in text
    assert "lr: decided first" in text


@pytest.mark.parametrize("option", ["--factor", "--log"])
def test_a_study_has_its_own_factors(option: str, done: Done) -> None:
    found = factorgrid("analyze", "--experiment", "tiny", option, "nosuch", home=done.home)
    assert found.returncode == 2
    (line,) = found.stderr.strip().splitlines()
    assert f"{option} nosuch: tiny is a study of FactorGrid" in line
    assert found.stdout == ""


def test_a_lower_loss_is_taken_to_be_better_and_it_is_said(tmp_path: Path) -> None:
    for name, lower in (("val_loss", True), ("accuracy", False)):
        (tmp_path / "loss.csv").write_text(PAPER.replace("accuracy", name))
        notes, corner = {}, {}
        for option in ("", "--minimise", "--maximise", "--minimize", "--maximize"):
            options = [option] if option else []
            result = _run(tmp_path, "loss", *options, "--json", response=name)
            content = json.loads(result.stdout)
            notes[option] = " ".join(content["notes"])
            corner[option] = content["decision"]["corner"]["lr"]
        assert corner[""] == (0.1 if lower else 0.001)
        assert corner["--minimise"] == corner["--minimize"] == 0.1
        assert corner["--maximise"] == corner["--maximize"] == 0.001
        assert ("a lower val_loss is taken to be better" in notes[""]) == lower
        assert not any("taken to be better" in notes[option] for option in notes if option)


def _log(tracker: Tracker, name: str, *, params: bool, metric: bool) -> None:
    """Log a search with a parent run that has the best metric of its four children."""
    experiment = tracker.experiment(name)
    client = tracker.client
    parent = client.create_run(experiment, run_name="search").info.run_id
    client.log_metric(parent, "accuracy", 0.9)
    if params:
        client.log_param(parent, "trials", 4)
    for lr, conv, accuracy in ((0.1, 1, 0.6), (0.1, 2, 0.7), (0.01, 1, 0.8), (0.01, 2, 0.9)):
        tags = {"mlflow.parentRunId": parent}
        child = client.create_run(experiment, tags=tags).info.run_id
        client.log_param(child, "lr", lr)
        client.log_param(child, "conv", conv)
        client.log_metric(child, "accuracy" if metric else "loss", accuracy)
        client.set_terminated(child)
    client.set_terminated(parent)


def test_a_parent_that_sums_up_its_children_is_no_run_of_the_experiment(tracker: Tracker) -> None:
    _log(tracker, "nested", params=True, metric=True)
    table = runs_of_experiment(tracker, "nested", "accuracy")
    assert table["accuracy"].tolist() == [0.6, 0.7, 0.8, 0.9]
    assert set(table) == {"lr", "conv", "accuracy"}


@pytest.mark.parametrize("params", [False, True])
def test_a_metric_that_only_the_parent_has_is_said_to_be_there(
    tracker: Tracker, *, params: bool
) -> None:
    _log(tracker, f"best {params}", params=params, metric=False)
    with pytest.raises(UserError) as caught:
        runs_of_experiment(tracker, f"best {params}", "accuracy")
    line = str(caught.value)
    assert "'accuracy' is only in parent runs, and the params are in their nested runs" in line
    assert "name a metric of the nested runs: loss" in line


def _categories(tmp_path: Path, **means: float) -> str:
    rows = [
        f"{name},{rate},{mean + 0.1 * (rate > 0.001) + 0.001 * i}"
        for i in range(2)
        for name, mean in means.items()
        for rate in (0.001, 0.1)
    ]
    (tmp_path / "categories.csv").write_text("\n".join(["optimizer,lr,y", *rows]))
    return "categories"


def test_a_column_of_three_texts_is_a_category(tmp_path: Path) -> None:
    table = _categories(tmp_path, adam=0.5, rmsprop=0.4, sgd=0.7)
    result = _run(tmp_path, table, "--json")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert content["terms"]["optimizer[sgd]"]["effect"] == pytest.approx(0.2)
    assert content["terms"]["optimizer[rmsprop]"]["effect"] == pytest.approx(-0.1)
    assert {"optimizer[sgd]", "optimizer[rmsprop]"} <= set(content["active"])
    assert content["decision"]["grid"]["optimizer"] == ["sgd"]
    shown = _run(tmp_path, table, "--plots", str(tmp_path / "plots"), "--dispersion")
    assert shown.exit_code == 0, shown.output
    assert "levels of optimizer: adam, rmsprop, sgd (alphabetical order)" in shown.output
    assert "optimizer: F = " in shown.output
    assert "effect +0.2000 from adam to sgd; better at sgd" in " ".join(shown.output.split())
    assert (tmp_path / "plots" / "main_effects.png").exists()


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_a_category_of_which_one_level_cannot_be_told_from_another_factor(
    tmp_path: Path, more: tuple[str, ...]
) -> None:
    """The only run with one level is also the only one with a level of another factor."""
    rows = [
        (width, rate, optimizer)
        for width in ("narrow", "wide")
        for rate in (0.1, 0.3)
        for optimizer in ("adam", "sgd")
    ]
    rows[-1] = ("widest", 0.3, "lion")
    lines = [f"{width},{rate},{opt},{0.8 - 0.1 * (opt == 'sgd')}" for width, rate, opt in rows]
    (tmp_path / "alias.csv").write_text("\n".join(["width,rate,optimizer,y", *lines]))
    result = _run(tmp_path, "alias", *more)
    assert result.exit_code == 0, result.output
    text = " ".join(result.output.replace("\n", " ").split())
    assert "the effect of one of its levels cannot be told from width[widest]" in text


def test_a_category_with_a_colon_or_of_nine_values_is_refused_in_one_line(tmp_path: Path) -> None:
    colon = _run(tmp_path, _categories(tmp_path, **{"a:b": 0.1, "c": 0.2, "d": 0.3}))
    assert (colon.exit_code, colon.output.count("\n")) == (2, 1)
    assert "'a:b' has a colon" in colon.output
    nine = _run(tmp_path, _categories(tmp_path, **{f"v{i}": i / 10 for i in range(9)}))
    assert (nine.exit_code, nine.output.count("\n")) == (2, 1)
    assert "column optimizer has 9 levels" in nine.output


def test_effects_are_tested_against_the_variation_between_whole_plots(tmp_path: Path) -> None:
    options = ("--whole-plot", "m", "--order", "1")
    content = json.loads(_run(tmp_path, "machines", *options, "--json").stdout)
    found = content["whole_plots"]
    assert (found["column"], found["whole_plots"], found["runs"]) == ("m", 6, 12)
    assert found["terms"]["a"]["df"] == pytest.approx(4, abs=0.1)
    assert found["terms"]["b"]["df"] == pytest.approx(5, abs=0.1)
    assert found["terms"]["a"]["std_error"] > content["terms"]["a"]["std_error"]
    assert found["terms"]["b"]["std_error"] < content["terms"]["b"]["std_error"]
    assert found["terms"]["intercept"]["effect"] is None
    text = _run(tmp_path, "machines", *options).stdout
    assert "6 values of m are" in " ".join(text.split())


@pytest.mark.parametrize(
    ("table", "options", "said"),
    [
        ("machines", ["--whole-plot", "nothing"], "no column 'nothing'"),
        ("machines", ["--whole-plot", "m", "--block", "b"], "--block: with --whole-plot"),
        ("machines", ["--whole-plot", "m", "--scale", "logit"], "--scale: with --whole-plot"),
        ("machines", ["--whole-plot", "m", "--surface"], "--whole-plot: has no effect"),
        ("no machine", ["--whole-plot", "m"], "m: 1 of 6 runs have no value"),
    ],
)
def test_whole_plots_that_cannot_be_fitted_are_one_line(
    tmp_path: Path, table: str, options: list[str], said: str
) -> None:
    result = _run(tmp_path, table, *options)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert said in result.stderr
