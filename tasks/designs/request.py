"""The request of `factorgrid design`: a kind of design, factors, and the options of that kind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from analysis.designs.factorial import DesignKind
from analysis.factors import Factor, Scale
from models.spec import Scalar
from tasks.analyze.request import factor_option
from tasks.errors import UserError
from tasks.study.hyperparameters import FactorPart

KINDS: tuple[DesignKind, ...] = get_args(DesignKind)
#: The options that a kind of design takes, besides --seed, --out and --json.
OPTIONS: dict[DesignKind, frozenset[str]] = {
    "full": frozenset({"factors", "replicates", "centre_points", "blocks"}),
    "fraction": frozenset(
        {"factors", "runs", "resolution", "replicates", "centre_points", "blocks"}
    ),
    "plackett-burman": frozenset({"factors", "runs", "replicates", "centre_points"}),
    "fold-over": frozenset({"factors", "csv", "on"}),
    "central-composite": frozenset({"factors", "axial", "centre_points"}),
    "box-behnken": frozenset({"factors", "centre_points"}),
    "definitive-screening": frozenset({"factors", "centre_points"}),
}
#: The names of the options that are not spelled as on the command line.
SPELLED = {"factors": "--factor", "centre_points": "--centre-points"}


@dataclass(frozen=True)
class DesignRequest:
    """Which design to make.

    Attributes
    ----------
    kind : the kind of design.
    factors : as typed, ``NAME=LOW,HIGH[:SCALE]``; for a fold-over ``NAME`` is enough.
    options : the other options that were given, by the names that the designs' functions have.
    csv : for a fold-over, the table of the runs.
    on : for a fold-over, the factors whose signs change; all of them if empty.
    seed : seed of the random order.
    """

    kind: DesignKind
    factors: Sequence[str]
    options: Mapping[str, Any]
    csv: Path | None = None
    on: Sequence[str] = ()
    seed: int = 0


def design_request(given: Mapping[str, Any]) -> DesignRequest:
    """Return the request that the arguments and options of the command line make.

    Raises
    ------
    UserError
        If the kind is unknown, does not have a given option, or needs one that is missing.
    """
    kind = given["kind"]
    if kind not in KINDS:
        raise UserError(f"design {kind!r}: unknown kind; the kinds are {', '.join(KINDS)}")
    known = set().union(*OPTIONS.values())
    typed = {
        name: given[name]
        for name in sorted(known)
        if given[name] is not None and given[name] is not False and given[name] != ()
    }
    for name in typed:
        if name not in OPTIONS[kind]:
            kinds = [other for other in KINDS if name in OPTIONS[other]]
            raise UserError(
                f"{SPELLED.get(name, f'--{name}')}: not an option of {kind}, only of "
                f"{', '.join(kinds)}; leave it out"
            )
    if "blocks" in typed and typed.get("replicates", 1) < 2:  # noqa: PLR2004 # one is no block
        raise UserError(
            "--blocks: makes each replicate a block; give --replicates 2 or more, or leave it out"
        )
    if kind == "fold-over" and "csv" not in typed:
        raise UserError("fold-over: no design; name the table of its runs, --csv FILE")
    if kind != "fold-over" and "factors" not in typed:
        raise UserError(f"{kind}: no factors; name each, --factor NAME=LOW,HIGH")
    options = {n: x for n, x in typed.items() if n not in {"factors", "csv", "on"}}
    return DesignRequest(
        kind, given["factors"], options, given["csv"], given["on"], seed=given["seed"]
    )


def factor_of(text: str) -> Factor:
    """Return the factor that ``NAME=LOW,HIGH[:SCALE]`` names, or ``NAME=A,B,C`` for categories.

    Without a scale, that of a study file: the scale of a known hyperparameter (a learning rate is
    on a log scale), else integer for whole numbers, linear for other numbers, and categorical for
    text.

    Raises
    ------
    UserError, FactorError
        If there are not two levels, or they do not fit the scale.
    """
    levels, colon, scale = text.rpartition(":")
    scaled = bool(colon) and scale in get_args(Scale)
    name, _, listed = (levels if scaled else text).partition("=")
    values = tuple(_typed_level(value.strip()) for value in listed.split(","))
    texts = scale == "categorical" if scaled else all(isinstance(x, str) and x for x in values)
    if len(values) > 2 and texts:  # noqa: PLR2004 # two are low and high
        return FactorPart(values=values, scale="categorical").factor(name, counts=False)
    name, both = factor_option(levels if scaled else text)
    if both is None:
        raise UserError(f"--factor {text}: no levels; write NAME=LOW,HIGH")
    low, high = map(_typed_level, both)
    given = {"scale": scale} if scaled else {}
    return FactorPart(low=low, high=high, **given).factor(name, counts=False)  # type: ignore[arg-type] # pydantic checks the scale


def _typed_level(text: str) -> Scalar:
    """Return a level as a whole number, a number, a truth value or text, as a study file has it."""
    if text in {"true", "false"}:
        return text == "true"
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text
