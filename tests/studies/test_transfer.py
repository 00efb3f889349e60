"""Whole studies with a pretrained network, by the real command."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from support.backbone_files import write_backbone
from support.small_study import factorgrid, known_accuracy

pytestmark = pytest.mark.process
#: The features are computed by the real backbone; what a head of them reaches is decided here.
ACCURACY = known_accuracy(
    {
        "best": 0.95,
        "noise": 0.02,
        "losses": {"learning_rate": {0.003: 0.2, 0.01: 0.0, 0.03: 0.1}, "dropout": {0.0: 0.0}},
    }
)

STUDY = """
name = "transfer"
budget = 12
[data]
drawn = 160
image_size = 32
[factors.learning_rate]
low = 0.003
high = 0.03
[factors.dropout]
low = 0.0
high = 0.3
[model]
network = "pretrained"
backbone = "{backbone}"
{more}
[training]
epochs = 3
batch_size = 32
precision = "float32"
"""


def write(folder: Path, backbone: str, more: str = "") -> Path:
    file = folder / "study.toml"
    file.write_text(STUDY.format(backbone=backbone, more=more))
    return file


@pytest.mark.slow
def test_a_study_computes_features_once_and_registers_the_whole_network(tmp_path: Path) -> None:
    home = tmp_path / "home"
    write_backbone(tmp_path / "small.keras")
    study = write(tmp_path, "small.keras")
    ended = factorgrid("search", study, "--json", home=home, **ACCURACY)
    assert ended.returncode == 0, ended.stderr[-3000:]
    outcome: dict[str, Any] = json.loads(ended.stdout)
    assert outcome["registered"]["version"] == "1"
    folders = [f.name for f in (home / "cache").iterdir() if f.name.endswith(".features")]
    assert len(folders) == 1
    listed = factorgrid("cache", home=home)
    assert folders[0] in listed.stdout
    assert "features" in listed.stdout
    networks = list(home.rglob("models/m-*/**/*.keras"))
    assert networks
    network = keras.models.load_model(networks[0])
    images = np.zeros((2, 32, 32, 3), np.uint8)
    assert np.asarray(network(images)).shape == (2, 2)
    cleared = factorgrid("cache", "--clear", home=home)
    assert cleared.returncode == 0
    assert not list((home / "cache").glob("*.features"))


def test_what_only_keras_can_check_is_one_line_before_anything_is_trained(tmp_path: Path) -> None:
    write_backbone(tmp_path / "small.keras")
    home = tmp_path / "home"
    study = write(tmp_path, "small.keras", "unfreeze = 5")
    ended = factorgrid("search", study, home=home, **ACCURACY)
    assert ended.returncode == 2
    lines = [line for line in ended.stderr.splitlines() if line.startswith("factorgrid: ")]
    words = 'has 2 blocks; lower it, or write "all"'
    place = tmp_path / "small.keras"
    assert lines == [f"factorgrid: study transfer: unfreeze 5: the backbone {place} {words}"]
    assert "Traceback" not in ended.stderr
    assert not (home / "cache").exists() or not list((home / "cache").iterdir())
