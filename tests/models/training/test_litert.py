"""Networks as LiteRT files, also those that compute in bfloat16."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from models.networks.average_flip import with_average_flip
from models.networks.build_network import build_from
from models.spec import DEFAULT_BUILDER, ModelSpec
from models.training.litert import in_float32, litert_answers, to_litert

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="a network is converted with TensorFlow"
)
IMAGES = np.random.default_rng(1).uniform(0, 255, (4, 32, 32, 3)).astype(np.float32)
NETWORKS = [
    ModelSpec(DEFAULT_BUILDER, {"filters": 8}),
    ModelSpec("models.residual:build", {"width": 8, "squeeze_excitation": True, "dropout": 0.1}),
]


@pytest.fixture
def _mixed() -> Iterator[None]:
    """Build networks as a training on hardware with bfloat16 does."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.usefixtures("_mixed")
@pytest.mark.parametrize("spec", NETWORKS, ids=["plain", "modern"])
@pytest.mark.parametrize("flipped", ["", "average_flip"])
def test_a_network_that_computes_in_bfloat16_is_converted_in_float32(
    spec: ModelSpec, flipped: str, tmp_path: Path
) -> None:
    network = build_from(spec, 32, 2)
    if flipped:
        network = with_average_flip(network)
    network.save(tmp_path / "n.keras")
    keras.config.set_dtype_policy("float32")  # of the process that converts it
    network = keras.models.load_model(tmp_path / "n.keras")
    exact = in_float32(network)
    assert exact is not network
    for ours, registered in zip(exact.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, registered)
    logits = np.asarray(exact(IMAGES))
    np.testing.assert_allclose(litert_answers(to_litert(exact), IMAGES), logits, atol=1e-5)
    rounded = np.asarray(network(IMAGES))
    assert (rounded != logits).any()
    np.testing.assert_allclose(rounded, logits, atol=0.1)


def test_a_network_that_computes_in_float32_is_the_same_one() -> None:
    network: Any = build_from(NETWORKS[0], 32, 2)
    assert in_float32(network) is network
