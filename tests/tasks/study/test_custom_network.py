"""The user's own networks: found beside the study, read as text, trained in a slot."""

import json
from pathlib import Path

import pytest
from support.small_study import ACCURACY, factorgrid, known_accuracy

from tasks.errors import StudyError
from tasks.settings import Settings
from tasks.study.custom_network import with_builder
from tasks.study.study_file import Study, load_study
from tasks.tracking.tracker import Tracker

NETWORK = """
import keras

def build(*, image_size, classes, width=4, norm="none"):
    inputs = keras.Input((image_size, image_size, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Conv2D(width, 3, activation="relu")(x)
    if norm == "batch":
        x = keras.layers.BatchNormalization()(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(classes, dtype="float32")(x))
"""
#: Networks that are built as they are, and learn as a test says.
LEARNED = known_accuracy({**ACCURACY, "losses": {}})
STUDY = """
name = "own"
[data]
drawn = 240
image_size = 16
[factors.norm]
low = "none"
high = "batch"
[factors.learning_rate]
low = 0.001
high = 0.01
[model]
builder = "network:build"
width = 6
[training]
epochs = 2
batch_size = 32
[refine]
budget = 4
rounds = 1
[confirm]
replicates = 0
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    own = tmp_path / "own"
    own.mkdir()
    (own / "network.py").write_text(NETWORK, encoding="utf-8")
    (own / "study.toml").write_text(STUDY, encoding="utf-8")
    return own


def load(folder: Path, old: str = "", new: str = "") -> Study:
    (folder / "study.toml").write_text(STUDY.replace(old, new) if old else STUDY, encoding="utf-8")
    return load_study(str(folder / "study.toml"))


@pytest.mark.slow
def test_a_study_with_a_custom_network_registers_its_model(folder: Path) -> None:
    home = folder.parent / "home"
    ended = factorgrid("search", folder / "study.toml", "--json", home=home, **LEARNED)
    assert ended.returncode == 0, ended.stderr
    assert set(json.loads(ended.stdout)["chosen"]) == {"norm", "learning_rate"}
    tracker = Tracker.open(Settings(home, f"sqlite:///{home / 'mlflow.db'}"))
    run = tracker.last_execution(tracker.existing_experiment("own"))
    names = [file.path for file in tracker.client.list_artifacts(run.info.run_id, "builder")]
    assert names == ["builder/network.py"]
    assert tracker.client.get_registered_model("own")


def test_changed_code_is_trained_again(folder: Path) -> None:
    def key() -> str:
        study = with_builder(load(folder))
        return study.spec({"norm": "none", "learning_rate": 0.001}, 1).key("version")

    before = key()
    assert key() == before
    (folder / "network.py").write_text(NETWORK.replace('"relu"', '"gelu"'), encoding="utf-8")
    assert key() != before


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("network:build", "nowhere:build", "no nowhere.py in"),
        ("network:build", "network:make", "no function make in .*; it has: build"),
        ("network:build", "models:build", "the name models is taken; rename the file"),
        ("width = 6", "depth = 6", "takes no depth; it takes classes, image_size, norm, width"),
        ("factors.norm", "factors.shape", "takes no shape"),
    ],
)
def test_a_builder_that_cannot_be_called_is_refused_before_training(
    folder: Path, old: str, new: str, words: str
) -> None:
    with pytest.raises(StudyError, match=words):
        with_builder(load(folder, old, new))


def test_a_syntax_error_is_reported_with_its_line(folder: Path) -> None:
    (folder / "network.py").write_text("def build(:\n", encoding="utf-8")
    with pytest.raises(StudyError, match=r"network.py, line 1: .*invalid syntax"):
        with_builder(load(folder))


def test_the_code_is_not_executed_when_it_is_checked(folder: Path) -> None:
    (folder / "network.py").write_text(NETWORK + "\nraise SystemExit(3)\n", encoding="utf-8")
    assert with_builder(load(folder)).model.builder_source


def test_a_deployment_loads_code_only_from_allowed_folders(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = load(folder)
    with pytest.raises(StudyError, match=r"\(none\); the operator lists them in FACTORGRID_BUIL"):
        with_builder(study, deployed=True)
    monkeypatch.setenv("FACTORGRID_BUILDERS", str(folder.parent / "other"))
    for deployed in (False, True):
        with pytest.raises(StudyError, match="is not in an allowed folder"):
            with_builder(study, deployed=deployed)
    monkeypatch.setenv("FACTORGRID_BUILDERS", str(folder))
    assert with_builder(study, deployed=True).model.builder_source


def test_a_linked_file_does_not_bring_its_folder_into_a_deployment(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies beside the link could be imported by the file, and is not the operator's."""
    foreign = folder.parent / "foreign"
    foreign.mkdir()
    (foreign / "network.py").symlink_to(folder / "network.py")
    (foreign / "study.toml").write_text(STUDY, encoding="utf-8")
    monkeypatch.setenv("FACTORGRID_BUILDERS", str(folder))
    with pytest.raises(StudyError, match="is not in an allowed folder"):
        with_builder(load_study(str(foreign / "study.toml")), deployed=True)


def test_a_file_and_a_folder_of_one_name_are_refused(folder: Path) -> None:
    (folder / "network").mkdir()
    (folder / "network" / "__init__.py").write_text(NETWORK, encoding="utf-8")
    with pytest.raises(StudyError, match=r"both .*network\.py and .*__init__\.py are the module"):
        with_builder(load(folder))


@pytest.mark.parametrize("name", ["json", "pdb", "gast", "tensorflow"])
def test_a_builder_with_the_name_of_an_installed_module_is_refused(folder: Path, name: str) -> None:
    (folder / f"{name}.py").write_text(NETWORK, encoding="utf-8")
    with pytest.raises(StudyError, match=f"the name {name} is taken"):
        with_builder(load(folder, "network:build", f"{name}:build"))
