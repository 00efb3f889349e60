"""Names in figures stay as they were written, in any script."""

import io
import logging
import warnings
from collections.abc import Callable, Mapping
from itertools import combinations, product
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from analysis.effects.fit import fit_effects
from analysis.factors import Factor
from analysis.plots.effects import effect_figures
from analysis.plots.grid import grid_heatmap
from analysis.plots.learning_curve import learning_curve
from analysis.plots.response_surface import contours
from analysis.surface.fit import fit_surface
from tasks import figures
from tasks.figures import fallback_fonts, font_file, save_figure
from tasks.training.replicate_figures import confusion_matrix, samples

NAMES = ("cost ($)", "yield_% ($a_{)", r"_\alpha^2")
RESPONSE = r"Y_{$ok$}"
HANGUL = "고양이"


def texts(figure: Figure) -> str:
    """Return every text of a figure as it is drawn, one per line."""
    with io.BytesIO() as file, mpl.rc_context({"svg.fonttype": "none"}):
        save_figure(figure, file, format="svg")
        root = ET.fromstring(file.getvalue().decode())  # noqa: S314 # our own file
    return "\n".join(
        "".join(element.itertext()) for element in root.iter() if "text" in element.tag
    )


def _runs(levels: tuple[int, ...]) -> pd.DataFrame:
    runs = pd.DataFrame(list(product(levels, repeat=3)) * 2, columns=list(NAMES))
    y = np.random.default_rng(1).normal(size=len(runs)) + 3 * runs[NAMES[0]]
    return runs.assign(**{RESPONSE: y})


def _factors(names: tuple[str, ...] = NAMES) -> list[Factor]:
    return [Factor(name, -1, 1) for name in names]


def _effects() -> Mapping[str, Figure]:
    return effect_figures(fit_effects(_runs((-1, 1)), _factors(), RESPONSE))


def _confusion() -> Figure:
    labels = np.arange(9) % 3
    return confusion_matrix(labels, np.eye(3, dtype=np.float32)[labels], NAMES)


def _curve() -> Figure:
    row = dict.fromkeys(("epoch", "train_accuracy", "val_accuracy", "train_loss", "val_loss"), 0.5)
    return learning_curve([row], " ".join(NAMES))


FIGURES: dict[str, Callable[[], Figure]] = {
    "pareto": lambda: _effects()["pareto"],
    "main_effects": lambda: _effects()["main_effects"],
    "interactions": lambda: _effects()["interactions"],
    "cube": lambda: _effects()["cube"],
    "heatmap": lambda: grid_heatmap(_runs((-1, 1)), _factors(), RESPONSE),
    "contours": lambda: contours(fit_surface(_runs((-1, 0, 1)), _factors(), RESPONSE)),
    "confusion matrix": _confusion,
    "learning curve": _curve,
}


@pytest.mark.parametrize("name", FIGURES)
def test_names_are_drawn_as_they_were_written(name: str) -> None:
    drawn = texts(FIGURES[name]())
    for user_name in NAMES:
        assert user_name in drawn
    if name not in {"confusion matrix", "learning curve"}:
        assert RESPONSE in drawn


def test_a_level_of_a_factor_whose_name_begins_with_an_underscore_is_in_the_legend() -> None:
    assert rf"{NAMES[2]} = 1" in texts(_effects()["interactions"])


def test_a_factor_may_have_the_name_of_the_response_in_other_tables() -> None:
    runs = pd.DataFrame([(-1, -1), (1, -1), (-1, 1), (1, 1)], columns=["x", "y"])
    effects = fit_effects(
        runs.assign(z=[1.25, 2.25, 3.25, 9.25]), [Factor("x", -1, 1), Factor("y", -1, 1)], "z"
    )
    drawn = texts(effect_figures(effects)["cube"])
    for mean in ("1.25", "2.25", "3.25", "9.25"):
        assert mean in drawn


def test_letters_without_an_installed_font_are_drawn_without_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(figures, "_installed_fonts", tuple)
    figures._fonts_with.cache_clear()  # it remembers fonts
    figure = Figure()
    figure.suptitle(HANGUL, fontweight="bold")
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        save_figure(figure, io.BytesIO(), format="png")
    figures._fonts_with.cache_clear()
    assert not caplog.records


def test_an_installed_font_is_used_for_letters_that_matplotlibs_font_lacks(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = fallback_fonts(f"{HANGUL} abc")
    if not found:
        pytest.skip("no font with Hangul is installed")
    assert font_file(HANGUL) == found[0]
    figure = Figure()
    figure.suptitle(HANGUL, fontweight="bold")
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        save_figure(figure, io.BytesIO(), format="png")
    assert not caplog.records
    assert figures.family_of(found[0]) in figure.findobj(mpl.text.Text)[0].get_fontfamily()


def test_the_names_beside_a_sheet_of_samples_are_not_cut() -> None:
    images = np.zeros((6, 16, 16, 3), dtype=np.uint8)
    arrays: Any = SimpleNamespace(
        classes=[*NAMES[:2], f"{HANGUL} " * 4],
        labels=np.arange(6) % 3,
        images=images,
        side=lambda _: np.arange(6),
    )
    figure = samples(arrays)
    save_figure(figure, io.BytesIO(), format="png")
    boxes = [axes.yaxis.label.get_window_extent() for axes in figure.axes[::8]]
    assert all(box.x0 >= 0 for box in boxes)
    assert all(not a.overlaps(b) for a, b in combinations(boxes, 2))


def test_letters_of_matplotlibs_font_need_no_other() -> None:
    assert fallback_fonts("abc äöü ±²") == ()
    assert font_file("abc").endswith("DejaVuSans.ttf")


def test_a_confusion_matrix_of_many_classes_has_room_for_each() -> None:
    def width(classes: int) -> float:
        names = [f"flower {number}" for number in range(classes)]
        labels = np.arange(classes)
        figure = confusion_matrix(labels, np.eye(classes, dtype=np.float32), names)
        return float(figure.get_size_inches()[0])

    assert width(2) == pytest.approx(3.6)
    assert width(20) > 20 * 0.34
