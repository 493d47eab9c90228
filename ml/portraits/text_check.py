"""Does a portrait's text say more than the user's traits? Whatever is not known to be true is a fault.

The text is read from left to right, the longest piece first, and each piece has to be

    a name of the shop       category, brand or segment: the user's own; a share behind it: that trait's own
    a number                 of a kind that its unit tells (%, days, hour, date): that trait's own
    a claim in words         stage, price level, weekday, platform, mood: the user's own value
    a plain word             from a short list that claims nothing

and nothing else. A sentence that the check cannot follow is refused, however true: that is what keeps a language
model to the traits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from ml.portraits.portrait_text import Shop, Trait, percent
from ml.portraits.words import BARGAINS, BUYER, NOVELTY, SAID, SOMEBODY, TOO_LITTLE

_PLAIN_ENGLISH = (
    "a an and the of on in at by to for from with who is was it its as this that they their mostly mainly usually "
    "often about around every one customer shopper user buyer looks look looking at shops shop buys buy buying "
    "bought orders order next due likes like items item favours favors prefers comes come writes write reviews "
    "share drawn times also while utc"
)
_PLAIN_CHINESE = (
    "的 和 与 及 是 在 也 并 且 为 以 于 约 每 主要 通常 常 多 关注 偏爱 喜欢 购买 下单 一次 下一单 "
    "预计 本应 不晚于 前后 来访 使用 属于 商品 品牌 顾客 用户 该 位 一位 这位"
)
_PUNCTUATION = re.compile(r"[\s.,;:!()（）。，；：、！“”\"'’‘\-–—]+")
_NUMBER = re.compile(
    r"(?P<date>\d{4}-\d{2}-\d{2})|(?P<hour>\d{1,2}:\d{2})|(?P<percent>\d+(?:\.\d+)?)\s*[%％]"
    r"|(?P<days>\d+(?:\.\d+)?)(?:\s*days?\b|\s*天)|(?P<other>\d+(?:\.\d+)?)"
)
_SENTENCE_END = re.compile("[.;!。；！]")
_SHARE_BEHIND = re.compile(r"\s*[(（]\s*(\d+(?:\.\d+)?)\s*[%％]\s*[)）]")
#: Words that give the next share its meaning.
_SHARES = {
    said.casefold(): trait
    for trait, both in (("bargain_seeking", BARGAINS), ("novelty_seeking", NOVELTY))
    for said in both
}


def _is_latin(sign: str) -> bool:
    return sign.isalnum() and sign < "\u2e80"


class TextCheck:
    """Checks texts of one shop's users. Making it costs one pass over the shop's names."""

    def __init__(self, names: Iterable[str], shop: Shop) -> None:
        """Take all category and brand names of the shop, and its segments."""
        self._claims = {
            said.casefold(): (trait, value)
            for trait, values in SAID.items()
            for value, both in values.items()
            for said in both
        }
        self._plain = {
            *(f"{_PLAIN_ENGLISH} {_PLAIN_CHINESE}".split()),
            *(text.casefold() for text in (*SOMEBODY, *BUYER, *TOO_LITTLE)),
            *_SHARES,
        }
        self._segments = {
            said.casefold(): segment for segment, both in shop.segment_names.items() for said in both
        }
        self._names = {name.casefold() for name in names if name} - set(self._segments)
        # Names that are plain words or claims too are names only where a share stands behind them.
        taken = self._plain | set(self._claims)
        self._doubtful = {name for name in self._names if name in taken or not any(c.isalpha() for c in name)}
        self._lengths: dict[str, list[int]] = {}
        for piece in (*self._claims, *self._plain, *self._segments, *self._names):
            self._lengths.setdefault(piece[0], []).append(len(piece))
        self._lengths = {first: sorted(set(found), reverse=True) for first, found in self._lengths.items()}

    def faults(self, text: str, traits: Sequence[Trait]) -> list[str]:
        """Return what the text says that the traits do not; nothing where all of it is borne out."""
        own = {trait.trait: trait for trait in traits if trait.subject == "all"}
        shares: dict[str, set[int]] = {}
        for trait in traits:
            if trait.trait in ("category_affinity", "brand_affinity"):
                shares.setdefault(trait.subject.casefold(), set()).add(percent(trait.strength))
        if not text.strip():
            return ["there is no text"]
        return list(self._read(text.casefold(), own, shares, set()))

    def claims(self, text: str) -> set[str]:
        """Return what a text says, true or not: names, numbers, traits in words; nothing for plain words."""
        said: set[str] = set()
        for _fault in self._read(text.casefold(), {}, {}, said):
            pass
        return said

    def _read(
        self, text: str, own: dict[str, Trait], shares: dict[str, set[int]], said: set[str]
    ) -> Iterator[str]:
        at, about = 0, ""  # `about`: the leaning whose share may come next
        while at < len(text):
            piece, behind = self._piece(text, at)
            if piece is not None:
                if piece in _SHARES:
                    about = _SHARES[piece]
                    if about not in own:
                        yield f"{about} is not known"
                if piece not in self._plain or behind:
                    said.add(piece if behind is None else f"{piece} {behind[1]}%")
                yield from self._piece_faults(piece, behind, own, shares)
                at = behind.end() if behind else at + len(piece)
            elif number := _NUMBER.match(text, at):
                said.add(number[0].replace(" ", ""))
                yield from _number_faults(number, own, about)
                at, about = number.end(), ""
            elif gap := _PUNCTUATION.match(text, at):
                about = "" if _SENTENCE_END.search(gap.group()) else about
                at = gap.end()
            else:
                end = next((i for i in range(at, len(text)) if not text[i].isalnum()), len(text))
                yield f"cannot be checked: {text[at : max(end, at + 1)]}"
                at = max(end, at + 1)

    def _piece(self, text: str, at: int) -> tuple[str | None, re.Match[str] | None]:
        """Return the longest known piece at a place, and the share behind it where it is a name with one."""
        if at and _is_latin(text[at - 1]) and _is_latin(text[at]):
            return None, None
        for length in self._lengths.get(text[at], ()):
            piece, end = text[at : at + length], at + length
            if len(piece) < length or (end < len(text) and _is_latin(text[end]) and _is_latin(piece[-1])):
                continue
            if piece in self._names:
                behind = _SHARE_BEHIND.match(text, end)
                if behind or piece not in self._doubtful:
                    return piece, behind
            if piece in self._claims or piece in self._plain or piece in self._segments:
                return piece, None
        return None, None

    def _piece_faults(
        self, piece: str, behind: re.Match[str] | None, own: dict[str, Trait], shares: dict[str, set[int]]
    ) -> Iterator[str]:
        if piece in self._names and (behind or piece not in self._doubtful):
            if piece not in shares:
                yield f"{piece} is none of the user's categories and brands"
            elif behind and (not behind[1].isdigit() or int(behind[1]) not in shares[piece]):
                yield f"{behind[1]}% is not the share of {piece}"
        elif piece in self._claims:
            trait, value = self._claims[piece]
            if trait not in own or own[trait].value != value:
                yield f"{trait} is not {value}"
        elif piece in self._segments and (
            "taste_segment" not in own or own["taste_segment"].value != self._segments[piece]
        ):
            yield f"taste_segment is not {self._segments[piece]}"


def _number_faults(number: re.Match[str], own: dict[str, Trait], about: str) -> Iterator[str]:
    kind = str(number.lastgroup)
    said = number[kind]
    true: set[str] = set()
    if kind == "date" and "next_purchase" in own:
        true = {own["next_purchase"].value}
    elif kind == "hour" and "active_hour" in own:
        true = {own["active_hour"].value}
    elif kind == "days" and "purchase_rhythm" in own:
        true = {str(round(own["purchase_rhythm"].strength or 0.0))}
    elif kind == "percent" and about in own:
        true = {str(percent(own[about].strength))}
    if said not in true:
        yield f"no trait bears out {number[0].strip()}"
