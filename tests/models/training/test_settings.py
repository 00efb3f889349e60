"""The training settings give what Keras's own `fit` gives, on both backends.

Each backend trains in its own process.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.backend_process import run_checks

from models.errors import SpecError
from models.spec import TrainingSpec
from models.training.schedule import epoch_rates
from models.training.targets import target_table

TESTS = Path(__file__).parents[2]
SETTINGS = {"neutral", "adamw", "nesterov", "lion", "rmsprop", "modern"}
#: XLA then compiles in a third of the time.
FAST_COMPILATION = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"


@pytest.fixture(scope="module", params=["tensorflow", pytest.param("jax", marks=pytest.mark.slow)])
def trained(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp(request.param)
    return run_checks("settings_checks.py", request.param, folder, XLA_FLAGS=FAST_COMPILATION)


@pytest.mark.process
def test_each_setting_trains_to_the_weights_of_keras_fit(trained: dict[str, Any]) -> None:
    assert set(trained["fit"]) == SETTINGS
    for name, difference in trained["fit"].items():
        assert difference < 1e-3, name
    assert set(trained["start"].values()) == {"finished"}


@pytest.mark.process
def test_each_setting_changes_the_training(trained: dict[str, Any]) -> None:
    for name, difference in trained["effects"].items():
        assert difference > 0.01, name


@pytest.mark.process
def test_the_settings_give_the_same_weights_in_parts_of_a_batch(trained: dict[str, Any]) -> None:
    assert trained["parts"] < 1e-3


@pytest.mark.process
def test_batch_statistics_are_those_of_the_images_in_memory_at_once(
    trained: dict[str, Any],
) -> None:
    """They are those of Keras's `fit` with batches of 12, and of its `fit` in bfloat16."""
    assert trained["statistics of parts"] < 1e-4
    assert trained["statistics in bfloat16"] < 0.01


@pytest.mark.process
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_images_are_mixed_and_changed_inside_the_step(
    trained: dict[str, Any], precision: str
) -> None:
    result = trained[f"everything in {precision}"]
    assert result["status"] == "finished"
    assert result["precision"] == precision
    assert all(np.isfinite(row["train_loss"]) for row in result["history"])


@pytest.mark.process
def test_targets_are_mixed_in_the_shares_of_the_images(trained: dict[str, Any]) -> None:
    changed = trained["changed"]
    for name in ("mixup", "cutmix", "both"):
        assert changed[name]["error"] < 0.01, name
        assert changed[name]["sum"] < 1e-5, name
        assert changed[name]["between"] > 0.5, name
    # CutMix copies pixels; mixup makes new values.
    assert changed["cutmix"]["values"] == 2 < changed["mixup"]["values"]


@pytest.mark.process
def test_a_share_of_the_images_is_erased_and_strong_changes_all_of_them(
    trained: dict[str, Any],
) -> None:
    changed = trained["changed"]
    assert 0.25 < changed["erased"]["images"] < 0.75
    assert 0 < changed["erased"]["area"] <= 0.4
    assert changed["strong"]["shape"] == [64, 16, 16, 3]
    assert changed["strong"]["changed"] == 1
    low, high = changed["strong"]["range"]
    assert 0 <= low < high <= 255


@pytest.mark.process
def test_the_best_epoch_is_kept_and_reported(trained: dict[str, Any]) -> None:
    kept = trained["kept"]
    each = [row["epoch_val_accuracy"] for row in kept["history"]]
    assert kept["kept_epoch"] == 1 + int(np.argmax(each))
    assert [row["val_accuracy"] for row in kept["history"]] == list(np.maximum.accumulate(each))
    best = kept["history"][kept["kept_epoch"] - 1]
    assert kept["history"][-1]["val_loss"] == best["epoch_val_loss"]
    assert kept["saved_accuracy"] == pytest.approx(max(each))


@pytest.mark.process
def test_the_averaged_weights_are_evaluated_and_saved(trained: dict[str, Any]) -> None:
    averaged = trained["averaged"]
    assert averaged["kept_epoch"] == 3
    assert averaged["saved_accuracy"] == pytest.approx(averaged["history"][-1]["val_accuracy"])


@pytest.mark.process
def test_the_mirrored_image_is_averaged_in_evaluation_and_not_in_training(
    trained: dict[str, Any],
) -> None:
    flipped = trained["flipped"]
    assert flipped["losses"][1] == pytest.approx(flipped["losses"][0], rel=1e-3)
    assert flipped["multiply_adds"][1] == 2 * flipped["multiply_adds"][0]
    assert flipped["mirrored"] < 1e-4
    assert flipped["saved"] < 1e-4 < flipped["different"]


@pytest.mark.process
@pytest.mark.parametrize("trained", [pytest.param("jax", marks=pytest.mark.slow)], indirect=True)
def test_rates_and_targets_are_data_of_the_compiled_program(trained: dict[str, Any]) -> None:
    assert trained["programs"] == [0, 0, 1]


def _rates(steps: int, **settings: Any) -> list[float]:
    training = TrainingSpec(epochs=2, learning_rate=1.0, **settings)
    parts = [epoch_rates(training, steps, epoch) for epoch in range(2)]
    return [float(rate) for part in parts if part is not None for rate in part]


def test_a_constant_learning_rate_needs_no_rates() -> None:
    assert epoch_rates(TrainingSpec(), 10, 0) is None
    assert _rates(5, warmup=0.4) == pytest.approx([0.25, 0.5, 0.75, *[1] * 7])


def test_a_cosine_falls_from_the_learning_rate_towards_0() -> None:
    """The values of ``keras.optimizers.schedules.CosineDecay(1.0, 8)``."""
    assert _rates(4, schedule="cosine") == pytest.approx(
        [(1 + np.cos(np.pi * step / 8)) / 2 for step in range(8)]
    )
    rising = _rates(4, schedule="cosine", warmup=0.25)
    assert rising[:3] == pytest.approx([0.5, 1, 1])
    assert rising[2:] == sorted(rising[2:], reverse=True)


def test_one_cycle_has_the_learning_rates_of_pytorch() -> None:
    """``OneCycleLR(max_lr=1.0, total_steps=10)``: the first, the highest and the last one."""
    rates = _rates(5, schedule="one_cycle")
    assert rates[0] == pytest.approx(1 / 25)
    assert rates[1] == pytest.approx(0.52)
    assert rates[2] == max(rates) == pytest.approx(1)
    assert rates[9] == pytest.approx(1 / 25 / 1e4)


def test_an_unknown_schedule_or_level_is_named() -> None:
    with pytest.raises(SpecError, match="'linear': not constant, cosine or one_cycle"):
        epoch_rates(TrainingSpec(schedule="linear"), 5, 0)


def test_balanced_targets_give_each_class_the_same_weight() -> None:
    labels = np.array([0, 0, 0, 1], dtype=np.int64)
    assert target_table(TrainingSpec(), labels, 2, mixed=False) is None
    balanced = target_table(TrainingSpec(class_weight="balanced"), labels, 3, mixed=False)
    assert balanced is not None
    assert np.diag(balanced) * [3, 1, 0] == pytest.approx([4 / 3, 4 / 3, 0])
    smooth = target_table(TrainingSpec(label_smoothing=0.3), labels, 3, mixed=False)
    assert smooth == pytest.approx(np.full((3, 3), 0.1) + 0.7 * np.eye(3))
