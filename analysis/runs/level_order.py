"""The order of the levels of a factor: numbers, words that have an order, and the alphabet."""

import re
from collections.abc import Iterable
from typing import Literal

from analysis.factors import Level

#: Why the levels are in their order. The alphabet says nothing of their meaning.
Order = Literal["numbers", "words", "alphabet"]

#: Words from low to high, one scale per row. Several words of one row may mean the same.
SCALES = tuple(
    tuple(tuple(word.split("/")) for word in row.split())
    for row in """
    verylow/lowest low/lo/l medium/mid/middle/med/m/normal high/hi/h veryhigh/highest
    min/minimum max/maximum
    - 0 +
    minus zero plus
    off on
    no/n yes/y
    false/f true/t
    without with
    none/absent some/present
    disabled enabled
    inactive active
    never sometimes always
    before after
    pre post
    old/current new
    early late
    start/begin end
    first second third fourth
    one two three four five six seven eight nine ten
    single double triple
    i ii iii iv
    control treatment/treated
    baseline/base/default/standard modified/alternative
    tiny/xs small/little/s medium/mid/m large/big/l huge/xl
    short medium long
    narrow medium wide
    thin medium thick
    light medium heavy
    few many
    less more
    little much
    cold cool warm hot
    slow medium fast
    weak medium strong
    soft medium hard
    shallow medium deep
    poor/bad fair good better best
    young old
    dark bright
    dry wet
    empty full
    down up
    bottom top
    cheap expensive
    tief/niedrig mittel hoch
    kurz mittel lang
    klein mittel groß/gross
    aus ein/an
    nein ja
    ohne mit
    vorher nachher
    vor nach
    alt neu
    kalt warm heiß/heiss
    langsam schnell
    wenig viel
    dünn/duenn dick
    leicht schwer
    schwach stark
    weich hart
    bas/faible moyen haut/élevé
    court long
    petit moyen grand
    non oui
    sans avec
    avant après
    froid chaud
    lent rapide
    bajo medio alto
    corto largo
    pequeño grande
    no sí/si
    sin con
    antes después
    baixo médio alto
    basso medio alto
    낮음/낮은/저/하 중간/보통/중 높음/높은/고/상
    저온 중온 고온
    저속 중속 고속
    짧음/짧은/단 긺/긴/장
    작음/작은/소 중 큼/큰/대
    아니오/아니요/아님 예/네
    없음/무 있음/유
    꺼짐/끔 켜짐/켬
    전 후
    이전 이후
    느림 빠름
    적음 많음
    약함/약 강함/강
    얇음 두꺼움
    低 中 高
    小 中 大
    短 長
    無/无 有
    否 是
    前 後
    """.strip().splitlines()
)
#: A hyphen inside a text, as in ``batch-32``, is no sign.
_NUMBER = re.compile(r"((?:(?<![^\s(=:])[+-])?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)")


def ordered_levels(levels: Iterable[Level]) -> tuple[list[Level], Order]:
    """Return levels from low to high, and what their order rests on.

    Numbers and truth values are compared as such. Texts that differ in one number, as in ``5 %``
    and ``10 %``, have its order; texts that differ in words of one scale, as in ``low`` and
    ``high`` or ``Low_T`` and ``High_T``, have the order of the scale. All others are in
    alphabetical order.
    """
    values = list(levels)
    if not any(isinstance(level, str) for level in values):
        return sorted(values), "numbers"
    texts = {str(level): level for level in values}
    known = _by_number(list(texts)) or _by_words(list(texts))
    if known:
        return [texts[text] for text in known], "words"
    return [texts[text] for text in sorted(texts, key=lambda x: (x.casefold(), x))], "alphabet"


def _by_number(texts: list[str]) -> list[str] | None:
    """Return texts that are equal but for numbers in the order of these, if all agree on it."""
    parts = {text: _NUMBER.split(text) for text in texts}
    if len({len(part) for part in parts.values()}) > 1:
        return None
    together = list(zip(*parts.values(), strict=True))
    differing = [i for i, part in enumerate(together) if len(set(part)) > 1]
    # Every second part is a number.
    if any(i % 2 == 0 for i in differing):
        return None
    orders = [
        [text for _, text in sorted((float(parts[text][i]), text) for text in texts)]
        for i in differing
    ]
    return orders[0] if orders and all(order == orders[0] for order in orders) else None


def _by_words(texts: list[str]) -> list[str] | None:
    """Return texts in the order of the words in which they differ, if all scales agree on it."""
    words = [_words(text) for text in texts]
    common = set(words[0]).intersection(*words[1:])
    distinct = ["".join(word for word in found if word not in common) for found in words]
    orders = []
    for scale in SCALES:
        places = {word.casefold(): place for place, same in enumerate(scale) for word in same}
        found = [places.get(word, -1) for word in distinct]
        if -1 not in found and len(set(found)) == len(texts):
            orders.append([text for _, text in sorted(zip(found, texts, strict=True))])
    return orders[0] if orders and all(order == orders[0] for order in orders) else None


def _words(text: str) -> list[str]:
    lowered = text.casefold().replace("\N{MINUS SIGN}", "-")
    return re.findall(r"[^\W_]+", lowered) or [lowered]
