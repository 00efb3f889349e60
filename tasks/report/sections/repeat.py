"""Report section: the study's file, and the commands that repeat it."""

import json
from typing import Any

from tasks.report.source import ReportSource
from tasks.study.next_study import before_pilot
from tasks.study.study_toml import study_toml
from tasks.tracking.artifact_paths import VERSIONS


def repeat_section(source: ReportSource) -> dict[str, Any]:
    """Return how to repeat the study.

    Returns
    -------
    ``text``; ``study``: the tables of the study's TOML file; ``commands``: of a shell;
    ``versions``: of the packages, may be empty.
    """
    study, translate = source.study, source.translate
    file = f"{study.name}.toml"
    commands = [
        f"factorgrid search {_quoted(file)}",
        f"factorgrid report --experiment {_quoted(study.name)}",
    ]
    versions = source.json(VERSIONS) or {}
    return {
        "text": f"{translate('repeat_text', file=file)} {translate('rebuild')}",
        "study": study_toml(before_pilot(study)).strip().split("\n\n"),
        "commands": commands,
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }


def _quoted(word: str) -> str:
    return json.dumps(word) if " " in word else word
