"""The README is short, and its make targets exist; test_documents.py checks the rest of it."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _make_lines() -> list[str]:
    blocks = re.findall(r"^```console\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    inline = re.findall(r"`(make [^`]+)`", README)
    return sorted({line for line in [*lines, *inline] if line.startswith("make ")})


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) < 200


@pytest.mark.parametrize("line", _make_lines())
def test_every_make_target_in_the_readme_exists(line: str) -> None:
    ended = subprocess.run(
        ["make", "--dry-run", *shlex.split(line)[1:]], cwd=ROOT, capture_output=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
