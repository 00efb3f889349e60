"""The import graph has no circles, and the script that counts it finds one where there is one."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

from infra.structure import Structure, circles, table

ROOT = Path(__file__).parents[2]


def test_no_modules_and_no_packages_import_each_other_in_a_circle() -> None:
    ended = subprocess.run(
        [sys.executable, "infra/structure.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "circles between modules: 0" in ended.stdout
    assert "circles between packages: 0" in ended.stdout


def test_a_circle_is_given_as_the_path_of_its_imports() -> None:
    imports = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}
    (circle,) = circles(imports)
    assert circle[0] == circle[-1]
    assert set(circle) == {"a", "b", "c"}
    assert all(imported in imports[name] for name, imported in pairwise(circle))


def test_each_of_two_circles_is_found() -> None:
    imports: dict[str, set[str]] = {"a": {"b"}, "b": {"a"}, "c": {"d"}, "d": {"c"}, "e": set()}
    assert {frozenset(circle) for circle in circles(imports)} == {
        frozenset({"a", "b"}),
        frozenset({"c", "d"}),
    }


def test_imports_without_a_circle_give_none() -> None:
    assert list(circles({"a": {"b", "c"}, "b": {"c"}, "c": set()})) == []


def test_the_table_counts_modules_and_the_imports_between_packages() -> None:
    structure = Structure(
        {"tasks.x.one": {"tasks.x.two", "tasks.y.one"}, "tasks.x.two": set(), "tasks.y.one": set()},
        {"tasks.x.one": "tasks.x", "tasks.x.two": "tasks.x", "tasks.y.one": "tasks.y"},
    )
    lines = [line.split() for line in table(structure).splitlines()[1:]]
    assert lines == [
        ["tasks.x", "2", "1", "0", "tasks.y"],
        ["tasks.y", "1", "0", "1"],
        ["2", "packages,", "3", "modules,", "1", "imports", "between", "packages"],
    ]
