"""Making a design, and writing its runs as CSV."""

from collections.abc import Sequence
from pathlib import Path

from analysis.designs.factorial import (
    Design,
    design_of_runs,
    fold_over,
    fractional_factorial,
    full_factorial,
    plackett_burman,
)
from analysis.designs.response_surface import (
    box_behnken,
    central_composite,
    definitive_screening,
)
from analysis.designs.summary import THREE_LEVELS, design_as_text
from analysis.runs.bookkeeping import NOT_FACTORS, plain_name
from analysis.runs.columns import LOG_SCALE_NAMES
from analysis.runs.infer_factors import infer_design_factors
from tasks.analyze.request import factor_option
from tasks.designs.power import DesignPower, power_as_text
from tasks.designs.request import DesignRequest, factor_of
from tasks.errors import UserError
from tasks.tables.read_csv import read_csv


def make_design(request: DesignRequest) -> Design:
    """Return the design that is requested.

    Raises
    ------
    UserError, AnalysisError
        If it cannot be made; the error names what is supported.
    """
    if request.kind == "fold-over":
        return _fold_over_of_file(Path(str(request.csv)), request)
    factors = [factor_of(text) for text in request.factors]
    for factor in factors:
        if plain_name(factor.name) in NOT_FACTORS:
            raise UserError(
                f"--factor {factor.name}: `factorgrid analyze` reads a column of that name as a "
                "description of the run; rename the factor"
            )
    options, seed = dict(request.options), request.seed
    match request.kind:
        case "full":
            return full_factorial(factors, **options, seed=seed)
        case "fraction":
            return fractional_factorial(factors, **options, seed=seed)
        case "plackett-burman":
            return plackett_burman(factors, **options, seed=seed)
        case "central-composite":
            if "axial" in options:
                options["axial"] = _axial_distance(options["axial"])
            return central_composite(factors, **options, seed=seed)
        case "box-behnken" | "definitive-screening":
            three = box_behnken if request.kind == "box-behnken" else definitive_screening
            return three(factors, **options, seed=seed)


def _axial_distance(text: str) -> str | float:
    if text in {"rotatable", "spherical", "faced"}:
        return text
    try:
        return float(text)
    except ValueError:
        raise UserError(
            f"--axial {text}: neither rotatable, spherical or faced nor a number; give one of them"
        ) from None


def _fold_over_of_file(path: Path, request: DesignRequest) -> Design:
    """Return a design of a CSV file with its fold-over; other columns stay beside their runs."""
    table = read_csv(path).rows
    levels = dict(factor_option(text) for text in request.factors)
    typed, factors = infer_design_factors(table, levels=levels)
    design = design_of_runs(typed, factors)
    folded = fold_over(design, on=list(request.on) or None, seed=request.seed)
    others = [name for name in typed if name not in folded.cells]
    # The first runs of the fold-over are those of the table; the new ones have no response yet.
    cells = folded.cells.join(typed[others])
    return Design(folded.kind, folded.factors, cells, folded.fraction)


def write_runs(design: Design, path: Path) -> None:
    """Write the runs of a design as CSV, in run order.

    Raises
    ------
    UserError
        If the file exists, because it may have responses, or cannot be written.
    """
    try:
        with path.open("x", encoding="utf-8", newline="") as file:
            design.cells.to_csv(file, index=False)
    except FileExistsError:
        raise UserError(
            f"{path}: exists, and may hold responses; name another file, or remove it"
        ) from None
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written: {error.strerror or error}; name another file"
        ) from None


def design_report(design: Design, power: DesignPower, path: Path | None) -> str:
    """Return what a terminal prints: what the design can estimate and find, and its runs."""
    about = f"{design_as_text(design)}\n\n{power_as_text(power)}"
    if path is None:
        return f"{about}\n\n{design.cells.to_string(index=False)}"
    made = f"{about}\n\n{path}: {len(design.cells)} runs, in the order in which to run them."
    command = " ".join(
        ["factorgrid analyze --csv", str(path), "--response COLUMN", *_analyze_options(design)]
    )
    return f"{made} Add a column with the response, then: {command}"


def _analyze_options(design: Design) -> Sequence[str]:
    log = [f for f in design.factors if f.scale == "log" and f.name.lower() not in LOG_SCALE_NAMES]
    options = [f"--log {factor.name}" for factor in log]
    if design.cells["block"].nunique() > 1:
        options.append("--block block")
    if design.kind in THREE_LEVELS:
        options.append("--surface")
    return options
