"""The record of an attack: one line per fault as text and as JSON, and tables of the counts."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

#: The file of the lines, and that of the tables.
LINES, TABLES = "faults.jsonl", "counts.md"
#: What can be wrong after an attack. A finding begins with one of these names and a colon.
KINDS = {
    "lost": "a replicate has no finished run",
    "doubled": "a replicate was trained to the end twice",
    "more": "a replicate that the undisturbed study does not have",
    "bits": "metrics or weights differ",
    "outcome": "effects, decision, grid or winner differ",
    "versions": "one network registered twice, or never",
    "left": "runs still running, files, or locks left behind",
    "survivor": "a process outlives the command",
    "traceback": "a traceback",
    "no reason": "the command ends without its own line",
    "hang": "no end",
    "not continued": "the same command does not continue",
}


@dataclass
class Attack:
    """One home that was attacked.

    Attributes
    ----------
    test : the name of the test.
    seed : its seed.
    faults : of each fault the process, the moment, and what the command did.
    wrong : what is wrong afterwards, see `KINDS`.
    """

    test: str
    seed: int
    faults: list[tuple[str, str, str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def lines(self) -> Iterable[str]:
        """Return one line per fault; the first finding of each kind stands for all of them."""
        kinds = Counter(_kind(text) for text in self.wrong)
        first = {_kind(text): text for text in reversed(self.wrong)}
        found = [f"{first[kind]} ({count})" for kind, count in kinds.items()]
        result = "; ".join(found) or "as undisturbed"
        for process, moment, effect in self.faults:
            yield f"{self.test} seed {self.seed} | {process} | {moment} | {effect} | {result}"

    def append_to(self, folder: Path) -> None:
        """Append it to the record; several test processes may do so at the same time."""
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / LINES).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(self)) + "\n")


def read_attacks(folder: Path) -> list[Attack]:
    """Return all attacks of a record, by test and seed."""
    file = folder / LINES
    if not file.exists():
        return []
    lines = file.read_text(encoding="utf-8").splitlines()
    attacks = [Attack(**json.loads(line)) for line in lines]
    return sorted(attacks, key=lambda attack: (attack.test, attack.seed))


def as_tables(attacks: Sequence[Attack]) -> str:
    """Return the counts as tables of Markdown."""
    injected: Counter[tuple[str, str]] = Counter()
    missed: Counter[tuple[str, str]] = Counter()
    for attack in attacks:
        for process, _, effect in attack.faults:
            name = (attack.test, process)
            (missed if effect.startswith("missed") else injected)[name] += 1
    names = sorted(injected.keys() | missed.keys())
    rows = [[*name, str(injected[name]), str(missed[name])] for name in names]
    total = [["all", "", str(injected.total()), str(missed.total())]]
    header = ["test", "process or fault", "faults", "too late"]
    text = f"{len(attacks)} homes.\n\n{_table(header, rows + total)}\n"
    kinds = Counter(kind for attack in attacks for kind in {_kind(text) for text in attack.wrong})
    found = [[name, meaning, str(kinds[name])] for name, meaning in KINDS.items()]
    return f"{text}\n{_table(['wrong', 'meaning', 'homes'], found)}\n"


def _kind(text: str) -> str:
    return text.partition(":")[0]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_tables(folder: Path, environment: Mapping[str, str]) -> str:
    """Write the tables beside the lines, and return the lines and the tables as text."""
    attacks = read_attacks(folder)
    tables = as_tables(attacks)
    about = ", ".join(f"{name} {value}" for name, value in environment.items())
    (folder / TABLES).write_text(f"{about}\n\n{tables}", encoding="utf-8")
    return "\n".join([*(line for attack in attacks for line in attack.lines()), "", tables])
