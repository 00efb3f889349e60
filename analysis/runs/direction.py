"""What a response is by its name: whether a lower one is better, and whether it is an accuracy."""

import re

#: Words in the name of a response that measures something to be kept low.
LOW_IS_BETTER = frozenset(
    {
        *("loss", "losses", "logloss", "nll", "error", "errors", "err", "errorrate"),
        *("mse", "rmse", "msle", "rmsle", "mae", "mape", "smape", "mad", "deviance", "residual"),
        *("crossentropy", "entropy", "perplexity", "ppl", "brier", "divergence", "kld"),
        *("wer", "cer", "fpr", "fnr", "rmsd", "misclassified", "misclassification"),
    }
)
#: Endings of such words, and syllables of Korean ones: loss, error.
ENDINGS, KOREAN = ("loss", "error", "entropy"), ("손실", "오차", "오류")
#: Words in the name of an accuracy, and a Korean one.
ACCURACY, KOREAN_ACCURACY = frozenset({"accuracy", "acc", "accuracies"}), "정확도"
#: First words of names of responses whose sign was changed, as in ``neg_log_loss``.
NEGATED = frozenset({"neg", "negative", "minus"})
#: Words that only look like them.
OTHERS = frozenset({"gloss"})


def lower_is_better(response: str) -> bool:
    """Whether a response is a loss or an error by its name, as in ``val_loss`` or ``testRMSE``.

    A name whose first word says that the sign was changed is none.
    """
    plain = _words(response)
    if response.startswith("-") or (plain and plain[0] in NEGATED):
        return False
    return any(part in response for part in KOREAN) or any(map(_is_low, plain))


def _is_low(word: str) -> bool:
    return word in LOW_IS_BETTER or (word.endswith(ENDINGS) and word not in OTHERS)


def is_accuracy(response: str) -> bool:
    """Whether a response is an accuracy by its name, as in ``val_accuracy`` or ``testAcc``."""
    return KOREAN_ACCURACY in response or not ACCURACY.isdisjoint(_words(response))


def _words(response: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", response)]
