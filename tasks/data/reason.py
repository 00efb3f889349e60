"""Reasons: why a picture is quarantined or passed over, and which rule a set of pictures breaks.

A reason is data where it is found and where it is kept. It becomes text only where it is shown:
`reason_as_text` is the only function that words one, from the table in `tasks/words.toml`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tasks.escaping import printable
from tasks.languages import Translate, translator, words

#: Items of a list that a text names.
MAX_LISTED = 3


@dataclass(frozen=True)
class Reason:
    """One reason, without its wording.

    Attributes
    ----------
    kind : which reason it is; the key ``reason_KIND`` of `tasks/words.toml` has its text.
    details : the values in that text: numbers, text, lists of text, or another reason.
    """

    kind: str
    details: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON types, from which `from_json` makes an equal reason."""
        details = {
            name: value.as_json() if isinstance(value, Reason) else value
            for name, value in self.details.items()
        }
        return {"kind": self.kind, "details": details}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Reason":
        """Return the reason that `as_json` described."""
        details = {
            name: cls.from_json(value) if isinstance(value, Mapping) else value
            for name, value in content["details"].items()
        }
        return cls(content["kind"], details)


def reason_as_text(reason: Reason, say: Translate | None = None) -> str:
    """Return a reason as text.

    Parameters
    ----------
    say : what `tasks.languages.translator` returns; English if not given.
    """
    say = say or translator("en")
    return say(f"reason_{reason.kind}", **_values(reason, say))


def kind_as_text(reason: Reason, say: Translate | None = None) -> str:
    """Return the heading under which reasons of one kind are counted.

    A reason without details is its own heading.

    Parameters
    ----------
    say : what `tasks.languages.translator` returns; English if not given.
    """
    say = say or translator("en")
    key = f"kind_{reason.kind}" if reason.details else f"reason_{reason.kind}"
    return say(key, **_values(reason, say))


def reasons_as_text(reasons: Sequence[Reason], say: Translate | None = None) -> str:
    """Return the reasons of one picture on one line."""
    return "; ".join(reason_as_text(reason, say) for reason in reasons)


def english_template(kind: str) -> str:
    """Return the English text of a kind of reason, with ``{name}`` in place of each value.

    Raises
    ------
    KeyError
        If there is no such kind.
    """
    return words()[f"reason_{kind}"]["en"]


def _values(reason: Reason, say: Translate) -> dict[str, object]:
    return {name: value_as_text(value, say) for name, value in reason.details.items()}


def value_as_text(value: object, say: Translate | None = None) -> object:
    """Return text, a reason or a list as printable text; a number stays: its text has the format.

    Parameters
    ----------
    say : what `tasks.languages.translator` returns; English if not given.
    """
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Reason):
        return reason_as_text(value, say)
    if isinstance(value, list):
        listed = ", ".join(printable(str(item)) for item in value[:MAX_LISTED])
        more = len(value) - MAX_LISTED
        say = say or translator("en")
        return f"{listed} {say('and_more', n=more)}" if more > 0 else listed
    return value
