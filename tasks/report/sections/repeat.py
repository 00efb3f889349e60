"""Report section: how to repeat the study."""

import json
from typing import Any

from tasks.report.source import ReportSource
from tasks.study.study_toml import study_toml
from tasks.tracking.artifact_paths import VERSIONS


def repeat_section(source: ReportSource) -> dict[str, Any]:
    """Return the values of the template's `repeat` section."""
    study, say = source.study, source.say
    file = f"{study.name}.toml"
    quoted = json.dumps(study.name) if " " in study.name else study.name
    path = json.dumps(file) if " " in file else file
    commands = [f"factorgrid search {path}", f"factorgrid report --experiment {quoted}"]
    versions = source.json(VERSIONS) or {}
    return {
        "text": f"{say('repeat_text', file=file)} {say('rebuild')}",
        "study": study_toml(study).strip().split("\n\n"),
        "commands": commands,
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }
