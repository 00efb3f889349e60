"""Columns and rows of a table that are there for the record."""

import itertools
from collections.abc import Sequence

import pandas as pd
import pytest

from analysis.runs.bookkeeping import further_responses, not_factors, with_statuses

TOOLS = {
    "Minitab": ("StdOrder,RunOrder,CenterPt,Blocks", "Temp,Time"),
    "Minitab, second order": ("StdOrder,RunOrder,PtType,Blocks", "A,B"),
    "JMP": ("Pattern", "X1,X2"),
    "Design-Expert": ("Std,Run,Block,Space Type,Build Type", "Temp,Time"),
    "FrF2": ("run.no.in.std.order,run.no,run.no.std.rp,Blocks", "A,B"),
    "rsm": ("run.order,std.order,Block", "x1,x2"),
    "FactorGrid": (
        "run_id,key,status,seed,train_seconds,epochs_trained,continued_epochs,continued_seconds",
        "conv_layers,epochs",
    ),
    "Optuna": (
        "number,value,datetime_start,datetime_complete,duration,user_attrs_size,state",
        "params_lr,params_n_layers",
    ),
    "MLflow's page": (
        "Start Time,Duration,Run ID,Name,Source Type,Source Name,User,Status",
        "lr,optimizer",
    ),
    "MLflow's search_runs": (
        "run_id,experiment_id,status,artifact_uri,start_time,end_time,metrics.loss,tags.user",
        "params.lr,params.optimizer",
    ),
    "Weights & Biases": ("Name,State,Notes,User,Tags,Created,Runtime,Sweep", "lr,units"),
    "Ray Tune": (
        "trial_id,done,training_iteration,date,timestamp,time_total_s,pid,hostname,node_ip",
        "config/lr,config/units",
    ),
    "scikit-learn": (
        "mean_fit_time,std_fit_time,params,split0_test_score,mean_test_score,rank_test_score",
        "param_C,param_gamma",
    ),
}


@pytest.mark.parametrize("tool", TOOLS)
def test_columns_that_a_program_adds_are_no_factors(tool: str) -> None:
    added, factors = (names.split(",") for names in TOOLS[tool])
    fields = {"Pattern": ["-+", "+-", "++", "--"]}
    table = pd.DataFrame({n: fields.get(n, ["a", "b", "a", "b"]) for n in [*added, *factors]})
    assert not_factors(table) == set(added)


@pytest.mark.parametrize("name", ["Time", "User", "name", "state", "duration", "model", "number"])
def test_a_name_that_could_be_a_factor_is_one_without_further_signs(name: str) -> None:
    table = pd.DataFrame({name: ["a", "b", "a", "b"], "lr": [1, 1, 2, 2]})
    assert not_factors(table) == set()


def test_a_text_that_half_of_the_runs_lack_and_a_time_are_no_factors() -> None:
    table = pd.DataFrame(
        {
            "remark": [None, "valve, new", None, "ok"],
            "at": ["2024-05-01 10:00:01", "2024-05-01 10:02:01"] * 2,
            "lr": [1, 1, 2, 2],
        }
    )
    assert not_factors(table) == {"remark", "at"}


@pytest.mark.parametrize("name", ["Status", "state", "trial_status"])
def test_only_finished_runs_have_a_response(name: str) -> None:
    states = ["COMPLETE", "TrialState.PRUNED", "failed", "FINISHED", "running"]
    table = pd.DataFrame({name: states, "y": [1.0, 2.0, 3.0, 4.0, 5.0]}, dtype=object)
    ended, found = with_statuses(table, "y")
    assert ended["y"].isna().tolist() == [False, True, False]
    assert (found.failed, found.left_out) == ({"failed": 1}, {"TrialState.PRUNED": 1, "running": 1})


def test_a_column_with_unknown_statuses_is_an_ordinary_column() -> None:
    table = pd.DataFrame({"state": ["solid", "liquid"], "y": [1.0, 2.0]}, dtype=object)
    ended, found = with_statuses(table, "y")
    assert ended.equals(table)
    assert found.column == ""


def _codes(design: Sequence[Sequence[int]], **more: list[int]) -> pd.DataFrame:
    names = [chr(65 + i) for i in range(len(design[0]))]
    return pd.DataFrame(design, columns=names).assign(**more)


FULL = list(itertools.product((-1, 1), repeat=2)) * 2


def test_a_column_beside_a_balanced_design_is_another_response() -> None:
    assert further_responses(_codes(FULL, defect=[-1, 1, -1, 1, -1, -1, -1, 1])) == ["defect"]


def test_a_balanced_but_correlated_column_is_a_response_if_its_name_is_one() -> None:
    three = list(itertools.product((-1, 1), repeat=3))
    correlated = [-1, -1, -1, 1, -1, 1, 1, 1]
    assert further_responses(_codes(three, val_loss=correlated)) == ["val_loss"]


@pytest.mark.parametrize(
    "codes",
    [
        _codes(FULL),
        _codes(FULL[:-1]),
        _codes(FULL, D=[-1, -1, 1, 1] * 2),  # aliased with A: nothing tells which was set
        _codes([(-1, -1), (-1, 1), (1, -1), (1, -1), (1, 1)]),
        pd.DataFrame(
            [list(row) for row in itertools.product((-1, 1), repeat=3)], columns=list("ABC")
        ).assign(D=lambda x: x["A"] * x["B"] * x["C"]),
    ],
)
def test_a_design_has_no_further_response(codes: pd.DataFrame) -> None:
    assert further_responses(codes) == []


def test_a_saturated_fraction_of_seven_factors_has_no_further_response() -> None:
    rows = [
        (a, b, c, a * b, a * c, b * c, a * b * c)
        for a, b, c in itertools.product((-1, 1), repeat=3)
    ]
    assert further_responses(_codes(rows)) == []
