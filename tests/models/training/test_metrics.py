"""The figures of a network, compared with scikit-learn's."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics as reference

from models.training.metrics import metrics_of

Drawn = tuple[NDArray[np.float32], NDArray[np.int64]]


def drawn(classes: int, seed: int, *, rounded: bool = False) -> Drawn:
    """Return probabilities with some skill, and imbalanced labels with every class."""
    rng = np.random.default_rng(seed)
    shares = np.arange(1, classes + 1) / np.arange(1, classes + 1).sum()
    labels = np.concatenate([np.arange(classes), rng.choice(classes, 200, p=shares)])
    logits = rng.normal(size=(len(labels), classes)) + 1.5 * np.eye(classes)[labels]
    # Few different values have ties, which count one half.
    logits = logits.round(0) if rounded else logits
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return probability.astype(np.float32), labels.astype(np.int64)


@pytest.mark.parametrize("rounded", [False, True])
@pytest.mark.parametrize("classes", [2, 3, 7])
def test_the_figures_are_those_of_scikit_learn(classes: int, *, rounded: bool) -> None:
    probability, labels = drawn(classes, classes, rounded=rounded)
    answers = probability.argmax(axis=1)
    exact = probability.astype(float) / probability.astype(float).sum(axis=1, keepdims=True)
    score = probability[:, 1] if classes == 2 else exact
    expected = {
        "val_accuracy": reference.accuracy_score(labels, answers),
        "val_balanced_accuracy": reference.balanced_accuracy_score(labels, answers),
        "val_f1_macro": reference.f1_score(labels, answers, average="macro"),
        "val_log_loss": reference.log_loss(labels, exact),
    }
    found = metrics_of(probability, labels, "val_")
    auc = found.pop("val_auc")
    assert found == pytest.approx(expected, abs=1e-6)
    if classes == 2:
        assert auc == pytest.approx(reference.roc_auc_score(labels, score), abs=1e-9)
    else:
        of_class = [
            reference.roc_auc_score(labels == own, probability[:, own]) for own in range(classes)
        ]
        assert auc == pytest.approx(np.mean(of_class), abs=1e-9)


def test_auc_is_left_out_if_a_class_has_no_image() -> None:
    probability, labels = drawn(3, 1)
    some = labels != 2
    assert "auc" not in metrics_of(probability[some], labels[some])


def test_a_probability_of_zero_has_a_finite_log_loss() -> None:
    probability = np.array([[1, 0], [0, 1]], dtype=np.float32)
    found = metrics_of(probability, np.array([1, 0]))
    assert found["log_loss"] == pytest.approx(-np.log(np.finfo(np.float32).eps))


def test_a_constant_answer_has_the_floor_of_each_response() -> None:
    from analysis.runs.response import RESPONSES, ConstantAnswer

    counts = [60, 30, 10]
    labels = np.repeat(np.arange(3), counts)
    shares: NDArray[np.float32] = (np.array(counts) / 100).astype(np.float32)
    probability = np.tile(shares, (100, 1))
    constant = ConstantAnswer.of(counts)
    for name, value in metrics_of(probability, labels, "val_").items():
        floor = RESPONSES[name].floor
        assert floor is not None
        assert floor(constant) == pytest.approx(value, abs=1e-6)
