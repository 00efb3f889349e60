"""A user's own builder is imported from the file that was checked, and hides nothing."""

import py_compile
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.errors import BuilderError
from models.networks.build_network import build_from
from models.networks.user_builder import builder_file, import_builder, source_digest
from models.spec import ModelSpec

EVIL = "from pathlib import Path\nPath(__file__).with_suffix('.ran').touch()\nraise SystemExit(9)\n"


@pytest.fixture(autouse=True)
def clean_modules() -> Iterator[None]:
    before = set(sys.modules)
    path = list(sys.path)
    yield
    assert sys.path == path
    for name in set(sys.modules) - before:
        if name.split(".")[0] in {"mynet", "mypackage", "myhelper"}:
            del sys.modules[name]


def spec_of(
    folder: Path, text: str, name: str = "mynet:build", file: str = "mynet.py"
) -> ModelSpec:
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text(text, encoding="utf-8")
    return ModelSpec(name, {}, source_digest(text.encode()))


def built(spec: ModelSpec) -> str:
    """Return the message of a builder that returns no network: it shows which code ran."""
    with pytest.raises(BuilderError) as caught:
        build_from(spec, 16, 2)
    return str(caught.value)


def test_files_beside_a_builder_hide_no_other_module(tmp_path: Path) -> None:
    for name in ("pdb", "gast", "tensorflow", "json", "keras", "colorsys", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text(EVIL, encoding="utf-8")
    (tmp_path / "myhelper.py").write_text("WHO = 'helper'\n", encoding="utf-8")
    text = (
        "import colorsys, json, pdb, myhelper\n"
        "def build(*, image_size, classes):\n"
        "    raise ValueError(f'{myhelper.WHO} {json.dumps(1)} {colorsys.__file__}')\n"
    )
    spec = spec_of(tmp_path, text)
    for name in ("colorsys", "pdb"):
        sys.modules.pop(name, None)
    import_builder(tmp_path, spec)
    message = built(spec)
    assert "ValueError: helper 1 " in message
    assert str(tmp_path) not in message
    assert not list(tmp_path.glob("*.ran"))


def test_a_builder_imports_from_its_folder_when_it_is_called_and_hides_nothing(
    tmp_path: Path,
) -> None:
    for name in ("colorsys", "gast"):
        (tmp_path / f"{name}.py").write_text(EVIL, encoding="utf-8")
    (tmp_path / "myhelper.py").write_text("WHO = 'helper'\n", encoding="utf-8")
    text = (
        "def build(*, image_size, classes):\n"
        "    import colorsys, myhelper\n"
        "    raise ValueError(f'{myhelper.WHO} {colorsys.__file__}')\n"
    )
    spec = spec_of(tmp_path, text)
    sys.modules.pop("colorsys", None)
    import_builder(tmp_path, spec)
    assert str(tmp_path) not in sys.path
    message = built(spec)
    assert "ValueError: helper " in message
    assert str(tmp_path) not in message
    assert str(tmp_path) not in sys.path
    assert not list(tmp_path.glob("*.ran"))


def test_without_a_folder_a_changed_file_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of(tmp_path, "def build(*, image_size, classes): ...\n")
    (tmp_path / "mynet.py").write_text(EVIL, encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        assert "is not the file of the study" in built(spec)
    assert not list(tmp_path.glob("*.ran"))


def test_a_module_that_was_imported_by_others_is_not_called_unchecked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of(tmp_path, "def build(*, image_size, classes):\n    raise ValueError('mine')\n")
    other = types.ModuleType("mynet")
    other.build = EVIL  # type: ignore[attr-defined] # a module has any attributes
    with monkeypatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        assert "ValueError: mine" in built(spec)
        changed = ModelSpec(spec.builder, {}, "0" * 16)
        assert "is not the file of the study" in built(changed)
        patch.setitem(sys.modules, "mynet", other)
        assert "the name mynet is taken by another module" in built(spec)


def test_a_builder_in_a_package_imports_from_its_package(tmp_path: Path) -> None:
    (tmp_path / "mypackage").mkdir()
    (tmp_path / "mypackage" / "__init__.py").write_text("", encoding="utf-8")
    (tmp_path / "mypackage" / "layers.py").write_text("WHO = 'layers'\n", encoding="utf-8")
    text = (
        "from .layers import WHO\ndef build(*, image_size, classes):\n    raise ValueError(WHO)\n"
    )
    spec = spec_of(tmp_path, text, "mypackage.net:build", "mypackage/net.py")
    import_builder(tmp_path, spec)
    assert "ValueError: layers" in built(spec)


def test_a_package_can_be_the_builder(tmp_path: Path) -> None:
    (tmp_path / "mynet").mkdir()
    (tmp_path / "mynet" / "layers.py").write_text("WHO = 'inside'\n", encoding="utf-8")
    text = (
        "from mynet.layers import WHO\n"
        "def build(*, image_size, classes):\n    raise ValueError(WHO)\n"
    )
    spec = spec_of(tmp_path, text, file="mynet/__init__.py")
    import_builder(tmp_path, spec)
    assert "ValueError: inside" in built(spec)


def test_a_module_and_a_package_of_one_name_are_refused(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, "def build(*, image_size, classes): ...\n")
    spec_of(tmp_path, EVIL, file="mynet/__init__.py")
    with pytest.raises(BuilderError, match=r"both .*mynet\.py and .*__init__\.py are the module"):
        import_builder(tmp_path, spec)


@pytest.mark.parametrize("name", ["pdb", "gast", "json", "tensorflow", "pytest", "sys", "models"])
def test_a_builder_cannot_have_the_name_of_another_module(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.py").write_text(EVIL, encoding="utf-8")
    with pytest.raises(BuilderError, match=f"the name {name} is taken by another module"):
        builder_file(tmp_path, name)


def test_a_folder_on_the_path_is_no_other_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec_of(tmp_path, "")
    with monkeypatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        assert builder_file(tmp_path, "mynet") == tmp_path / "mynet.py"


def test_a_file_that_changed_since_it_was_checked_is_not_imported(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, "def build(*, image_size, classes): ...\n")
    (tmp_path / "mynet.py").write_text(EVIL, encoding="utf-8")
    with pytest.raises(BuilderError, match="is not the file of the study: its content differs"):
        import_builder(tmp_path, spec)
    assert not list(tmp_path.glob("*.ran"))


def test_bytecode_beside_the_builder_is_not_run(tmp_path: Path) -> None:
    evil = tmp_path / "evil.py"
    evil.write_text(EVIL, encoding="utf-8")
    spec = spec_of(tmp_path, "def build(*, image_size, classes):\n    raise ValueError('source')\n")
    cached = tmp_path / "__pycache__" / f"mynet.{sys.implementation.cache_tag}.pyc"
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(evil), str(cached), invalidation_mode=mode)
    import_builder(tmp_path, spec)
    assert "ValueError: source" in built(spec)


def test_a_builder_that_fails_when_it_is_imported_is_one_line(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, "raise ValueError('first\\nsecond')\n")
    with pytest.raises(BuilderError) as caught:
        import_builder(tmp_path, spec)
    assert str(caught.value) == "builder mynet:build: ValueError: first"


def test_without_a_folder_the_module_on_the_path_must_have_the_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of(tmp_path, "def build(*, image_size, classes):\n    raise ValueError('mine')\n")
    with monkeypatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        assert "ValueError: mine" in built(spec)
        del sys.modules["mynet"]
        other = ModelSpec(spec.builder, {}, "0" * 16)
        assert "is not the file of the study" in built(other)
