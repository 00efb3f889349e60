"""The texts in figures, in English; a caller may give another function from the same keys to texts.

`tasks/words.toml` has the same keys in every language of the report.
"""

from collections.abc import Callable

#: From a key of `WORDS`, and the values to fill in, to a text.
Say = Callable[..., str]

WORDS = {
    "figure_effect_size": "|effect| on {response}, low to high",
    "figure_effect_scaled": "|effect| on {response}, low to high, over its relative standard error",
    "figure_strong": "strong: active; pale: not shown",
    "figure_largest": "the {n} largest of {of}",
    "figure_filled": "filled: active",
    "figure_margin_lenth": "margin of error",
    "figure_margin_t": "margin (t-test)",
    "figure_margin_all": "margin for all at once",
    "figure_noise": "pure noise",
    "figure_quantile": "half-normal quantile",
    "figure_mean": "mean {response}",
    "figure_intervals": "intervals that do not overlap: active main effect",
    "figure_interaction": "interaction {effect}",
    "figure_interaction_active": "interaction {effect}, active",
    "figure_aliased": "aliased with {terms}",
    "figure_largest_interactions": "the {n} largest of {of} two-way interactions",
    "figure_hatched": "hatched: a run collapsed",
    "figure_axis_trainings": "trainings of full length",
    "figure_axis_seconds": "seconds of training",
    "figure_best_so_far": "best {response} so far",
    "figure_epoch": "epoch",
    "figure_accuracy": "accuracy",
    "figure_loss": "loss",
    "figure_training": "training",
    "figure_validation": "validation",
}


def english(key: str, **values: object) -> str:
    """Return a text in English."""
    return WORDS[key].format(**values)
