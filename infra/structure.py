"""Count the modules and imports of every package, and find import circles.

    python infra/structure.py

Imports inside functions and under ``TYPE_CHECKING`` count too. The exit status is 1 if modules or
packages import each other in a circle. The graph is built by grimp, which import-linter installs.
"""

import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import cast

import grimp

ROOTS = ("flows", "tasks", "models", "analysis")

#: For each module or package, those that it imports.
Imports = Mapping[str, Collection[str]]


@dataclass(frozen=True)
class Structure:
    """The import graph of the program.

    Attributes
    ----------
    modules : the imports of every module.
    package_of : the package of every module.
    """

    modules: Imports
    package_of: Mapping[str, str]

    def package_imports(self) -> Counter[tuple[str, str]]:
        """Count the imports between each two packages: (importing, imported)."""
        return Counter(
            (self.package_of[module], self.package_of[imported])
            for module, found in self.modules.items()
            for imported in found
            if self.package_of[module] != self.package_of[imported]
        )

    def packages(self) -> dict[str, set[str]]:
        """Return the imports of every package."""
        found: dict[str, set[str]] = {package: set() for package in set(self.package_of.values())}
        for importing, imported in self.package_imports():
            found[importing].add(imported)
        return found


def read_structure() -> Structure:
    """Build the import graph of everything below `ROOTS`.

    A package is a folder directly below a root, with all that is in it (``tasks.report`` includes
    ``tasks.report.sections``). A module directly below a root, such as ``tasks.steps``, counts as a
    package: it has a level of its own in the contracts.
    """
    # This checkout, wherever the packages are installed from.
    sys.path.insert(0, str(Path(__file__).parents[1]))
    graph = grimp.build_graph(*ROOTS, cache_dir=None)
    modules = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    return Structure(modules, {module: ".".join(module.split(".")[:2]) for module in modules})


def circles(imports: Imports) -> Iterator[list[str]]:
    """Yield import circles, until the graph without them is free of circles.

    Each is a path that begins and ends with the same name; each name imports the next.
    """
    remaining = {name: set(found) for name, found in imports.items()}
    while True:
        try:
            TopologicalSorter(remaining).prepare()
        except CycleError as error:
            # graphlib gives the path from the imported module to the importing one.
            circle = cast("list[str]", error.args[1])[::-1]
            yield circle
            remaining[circle[0]].discard(circle[1])
        else:
            return


def table(structure: Structure) -> str:
    """Return one line per package: its modules, and its imports from and by other packages."""
    sizes = Counter(structure.package_of.values())
    between = structure.package_imports()
    head = f"{'package':<24}{'modules':>8}{'imports':>9}{'imported':>9}  packages that it imports"
    lines = [head]
    for package, imported in sorted(structure.packages().items()):
        out = sum(count for (source, _), count in between.items() if source == package)
        into = sum(count for (_, target), count in between.items() if target == package)
        others = ", ".join(sorted(imported))
        lines.append(f"{package:<24}{sizes[package]:>8}{out:>9}{into:>9}  {others}".rstrip())
    lines.append(
        f"{len(sizes)} packages, {sum(sizes.values())} modules, "
        f"{sum(between.values())} imports between packages"
    )
    return "\n".join(lines)


def main() -> int:
    """Print the table and the circles; return the exit status."""
    structure = read_structure()
    print(table(structure))
    status = 0
    for kind, imports in (("modules", structure.modules), ("packages", structure.packages())):
        found = list(circles(imports))
        print(f"circles between {kind}: {len(found)}")
        for circle in found:
            print(f"  {' -> '.join(circle)}")
        status = status or int(bool(found))
    return status


if __name__ == "__main__":
    sys.exit(main())
