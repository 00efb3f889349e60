import json
import math

from analysis.search.refined_grid import Decision, LevelReason
from tasks.tracking.run_writer import as_json_text


def test_a_decision_without_a_known_effect_is_json() -> None:
    reason = LevelReason("학습률", "unknown", 0.1, math.nan, (0.1, 0.2), ("conv_layers",))
    decision = Decision({"학습률": (0.1, 0.2)}, {"학습률": 0.1}, (reason,))

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    text = as_json_text(decision)
    content = json.loads(text, parse_constant=refuse)
    assert content["reasons"][0]["effect"] is None
    assert content["grid"] == {"학습률": [0.1, 0.2]}
    assert "학습률" in text
