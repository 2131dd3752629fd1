"""Internationalized host names (RFC 5890 to 5893) as an automaton: used to build the data file, not at run time.

The code points that a label may hold are derived from Python's Unicode data as RFC 5892 says. The contextual rules, the
rules on hyphens and leading marks, and the Bidi rule (RFC 5893, for all labels of a name if any holds a right-to-left
character) are followed; all scripts are admitted. What is left out, because no automaton of sensible size
holds it:

- A-labels (``xn--``): whether one decodes to a valid label.
- The length of the A-label is not known while a label is read. Labels beyond ASCII have at most 10 code points, names
  with such a label at most 44: by Punycode's arithmetic (RFC 3492) they never exceed 63 and 253 octets.
- Normal form C: marks that compose with something before them, and two marks of a combining class but 0 in a row.
- A zero width non-joiner between letters (not behind a virama): only between Arabic letters without marks.
- A katakana middle dot: only behind Hiragana, Katakana or Han, or before one at the start of a label.
- A name with right-to-left characters has no other labels but those that begin with one and those of ASCII.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import NamedTuple

from grammar_engine.compiler.char_automaton import CharAutomaton
from grammar_engine.compiler.char_states import ACCEPT, Edge
from grammar_engine.compiler.charset import CharSet
from grammar_engine.compiler.formats import MAX_HOSTNAME
from grammar_engine.compiler.length import limit_lengths
from grammar_engine.compiler.machine import Moves, minimal_table

MAX_CODE_POINTS = 10
MAX_NAME = 44
_MAX_LABEL = 63

# RFC 5892, §2.6 and its appendix A.
_PVALID = {0xDF, 0x3C2, 0x6FD, 0x6FE, 0xF0B, 0x3007}
_DISALLOWED = {0x640, 0x7FA, 0x302E, 0x302F, *range(0x3031, 0x3036), 0x303B}
_ARABIC_INDIC, _EXTENDED = range(0x660, 0x66A), range(0x6F0, 0x6FA)
_CONTEXT = {0xB7: "·", 0x375: "͵", 0x5F3: "׳", 0x5F4: "׳", 0x30FB: "・", 0x200C: "n", 0x200D: "j"}
_DOTS = ".\u3002\uff0e\uff61"
# Letters of the Arabic block that join on both sides, and on the right only (ArabicShaping.txt).
_BOTH = (0x626, 0x628, *range(0x62A, 0x62F), *range(0x633, 0x640), *range(0x641, 0x648), 0x649, 0x64A)
_RIGHT = (0x622, 0x623, 0x624, 0x625, 0x627, 0x629, 0x62F, 0x630, 0x631, 0x632, 0x648)


class Kind(NamedTuple):
    """What the rules ask of a character.

    ``ascii``: "l", "d" a digit, "u" a capital, "-" or "a" another letter; "" beyond ASCII. ``context``: one of
    ``_CONTEXT``'s values. ``bidi``: L, R (and AL), AN, EN, N (neutral), M (NSM). ``script``: Greek, Hebrew, or 仮 for
    Hiragana, Katakana and Han. ``joins``: "B" on both sides, "R" on the right. ``mark``: no label begins with it.
    ``combining``: 0, 9 or 1 for any other class. (The two series of Arabic digits are AN and EN, which no label mixes.)
    """

    ascii: str = ""
    context: str = ""
    bidi: str = "L"
    script: str = ""
    joins: str = ""
    mark: bool = False
    combining: int = 0


def _is_valid(code: int, char: str, category: str) -> bool:
    """RFC 5892 §3, but for the contextual characters; old Hangul jamo and ignorables are what the names say."""
    if code in _PVALID:
        return True
    if code in _DISALLOWED or category in ("Cn", "Cs", "Co"):
        return False
    if 0x1100 <= code <= 0x11FF or 0xA960 <= code <= 0xA97C or 0xD7B0 <= code <= 0xD7FB:
        return False
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", char).casefold())
    if unicodedata.normalize("NFKC", folded) != char:
        return False
    if _is_ignorable(code) or 0x20D0 <= code <= 0x20FF or 0x1D100 <= code <= 0x1D24F:
        return False
    return category in ("Ll", "Lu", "Lo", "Nd", "Lm", "Mn", "Mc")


def _is_ignorable(code: int) -> bool:
    """Default_Ignorable_Code_Point among letters and marks."""
    return (
        code in (0x34F, 0x61C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0)
        or 0x180B <= code <= 0x180F
        or 0xFE00 <= code <= 0xFE0F
        or 0xE0000 <= code <= 0xE0FFF
    )


@cache
def _composing() -> frozenset[str]:
    """Characters that compose with one before them (NFC_Quick_Check=Maybe)."""
    found: set[str] = set()
    for code in range(0x110000):
        parts = unicodedata.decomposition(chr(code)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            pair = "".join(chr(int(part, 16)) for part in parts)
            if unicodedata.normalize("NFC", pair) == chr(code):
                found.add(pair[1])
    return frozenset(found)


_BIDI = {"L": "L", "R": "R", "AL": "R", "AN": "AN", "EN": "EN", "NSM": "M"}


def _kind(code: int) -> Kind | None:
    """The kind of a code point, None if no label has it."""
    char = chr(code)
    if code < 0x80:
        if char == "-":
            return Kind(ascii="-", bidi="N")
        if not char.isalnum():
            return None
        if char.isdigit():
            return Kind(ascii="d", bidi="EN")
        return Kind(ascii="l" if char == "l" else "u" if char.isupper() else "a")
    if 0xD800 <= code < 0xE000:
        return None
    bidi = _BIDI.get(unicodedata.bidirectional(char), "N")
    if code in _CONTEXT:
        script = "Hebrew" if _CONTEXT[code] == "׳" else ""
        return Kind(context=_CONTEXT[code], bidi=bidi, script=script)
    if code in _ARABIC_INDIC or code in _EXTENDED:
        return Kind(bidi=bidi)
    category = unicodedata.category(char)
    if not _is_valid(code, char, category) or char in _composing():
        return None
    name = unicodedata.name(char, "")
    script = ""
    if name.startswith(("GREEK SMALL", "GREEK LETTER")):
        script = "Greek"
    elif name.startswith("HEBREW LETTER"):
        script = "Hebrew"
    elif name.startswith(("HIRAGANA LETTER", "KATAKANA LETTER", "CJK UNIFIED IDEOGRAPH")):
        script = "仮"
    combining = unicodedata.combining(char)
    return Kind(
        bidi=bidi,
        script=script,
        joins="B" if code in _BOTH else "R" if code in _RIGHT else "",
        mark=category.startswith("M"),
        combining=combining if combining in (0, 9) else 1,
    )


@cache
def kinds() -> dict[Kind, CharSet]:
    """Every kind with its characters."""
    found: dict[Kind, list[tuple[int, int]]] = {}
    for code in range(0x110000):
        kind = _kind(code)
        if kind is not None:
            found.setdefault(kind, []).append((code, code))
    return {kind: CharSet.from_ranges(ranges) for kind, ranges in found.items()}


class _Label(NamedTuple):
    """``length`` code points, of a label of ASCII up to 63, else up to 10. ``right``: it begins with R.

    ``last``: what the rule of the next character asks about: "-", "l", "H" Hebrew, "K" 仮, "v" a virama, "m" another
    mark that combines, "B" a letter that joins; or what that character must be: "·" an l, "͵" Greek, "・" 仮, "n" a
    letter that joins. ``ends``, ``number``: of one that begins with R, whether it may end here, and which of EN and AN
    it holds. ``ruled``: of one of ASCII, that it begins with a letter.
    """

    length: int = 0
    ascii: bool = True
    capital: bool = False
    right: bool = False
    last: str = ""
    ends: bool = True
    number: str = ""
    ruled: bool = True


class _Name(NamedTuple):
    """``international``: a label or a dot beyond ASCII was read. ``plain``: no right-to-left character. ``ruled``: all
    labels before may stand beside right-to-left ones.
    """

    label: _Label = _Label()
    international: bool = False
    plain: bool = True
    ruled: bool = True


_MARK = "!"
_MARKED = _Name(_Label(length=-1))


def _may_follow(label: _Label, kind: Kind) -> bool:
    """Do the rules on single characters allow one of this kind?"""
    length, last = label.length, label.last
    needed = {"·": kind.ascii == "l", "͵": kind.script == "Greek", "・": kind.script == "仮", "n": bool(kind.joins)}
    if not needed.get(last, True):
        return False
    if length == 0 and (kind.ascii == "-" or kind.mark):
        return False
    if kind.ascii == "-" and length == 3 and last == "-":
        return False
    if kind.combining and last in ("v", "m"):
        return False
    if kind.context == "・":
        return length == 0 or last == "K"
    before = {"·": ("l",), "׳": ("H",), "n": ("v", "B"), "j": ("v",)}.get(kind.context)
    return before is None or last in before


def _last(label: _Label, kind: Kind) -> str:
    if kind.context in ("·", "͵") or (kind.context == "n" and label.last == "B"):
        return kind.context
    if kind.context == "・":
        return "K" if label.length else "・"
    if kind.combining:
        return "v" if kind.combining == 9 else "m"
    if kind.ascii in ("-", "l"):
        return kind.ascii
    return {"Hebrew": "H", "仮": "K"}.get(kind.script, "B" if kind.joins == "B" else "")


def _next_label(label: _Label, kind: Kind) -> _Label | None:
    """The label with one more character, None if a rule forbids it."""
    length = label.length
    ascii_only = label.ascii and kind.ascii != ""
    if not _may_follow(label, kind) or length >= (_MAX_LABEL if ascii_only else MAX_CODE_POINTS):
        return None
    if (kind.ascii == "u" and not label.ascii) or (label.capital and not kind.ascii):
        return None
    right = label.right if length else kind.bidi == "R"
    ends, number = True, ""
    if right:
        if kind.bidi == "L":
            return None
        ends = label.ends if kind.bidi == "M" else kind.bidi != "N"
        number = label.number
        if kind.bidi in ("EN", "AN"):
            if number not in ("", kind.bidi):
                return None
            number = kind.bidi
        ascii_only = False
    elif kind.bidi in ("R", "AN"):
        return None
    return _Label(
        length + 1,
        ascii_only,
        ascii_only and (label.capital or kind.ascii == "u"),
        right,
        _last(label, kind),
        ends,
        number,
        ascii_only and (label.ruled if length else kind.bidi == "L"),
    )


def _moves(letters: dict[str, Kind], state: _Name) -> Moves[_Name]:
    found: Moves[_Name] = []
    for letter, kind in letters.items():
        label = _next_label(state.label, kind)
        if label is None:
            continue
        plain = state.plain and not label.right
        ruled = state.ruled and (label.right or label.ruled)
        if plain or ruled:
            found.append((letter, _Name(label, state.international or not label.ascii, plain, ruled)))
    after = _after_label(state)
    if after is not None:
        found.append((".", after))
        found.append(("。", after._replace(international=True)))
    return found


def _after_label(state: _Name) -> _Name | None:
    """Behind a label that may end here, None if it may not."""
    label = state.label
    if label.length == 0 or label.last in ("-", "·", "͵", "・", "n") or not label.ends:
        return None
    return _Name(_Label(), state.international, state.plain, state.ruled)


@cache
def idn_hostname() -> CharAutomaton:
    """The names, as the module says."""
    classes = kinds()
    letters = {chr(0xE000 + index): kind for index, kind in enumerate(classes)}
    sets = {letter: classes[kind] for letter, kind in letters.items()}
    sets |= {".": CharSet.from_chars("."), "。": CharSet.from_chars(_DOTS[1:])}

    def moves(state: _Name) -> Moves[_Name]:
        # The mark keeps states of names with another limit apart; it leads nowhere else and is taken away below.
        mark = [(_MARK, _MARKED)] if state.international and state is not _MARKED else []
        return mark + (_moves(letters, state) if state is not _MARKED else [])

    table = minimal_table(
        _Name(), moves, lambda state: state is _MARKED or _after_label(state) is not None, what="idn-hostname"
    )
    assert table is not None, "no format is empty"
    states: list[tuple[Edge, ...]] = []
    limits: list[int] = []
    for row, accepting in zip(table.rows, table.accepting, strict=True):
        behind: dict[int, list[CharSet]] = {}
        for letter, target in row.items():
            if letter != _MARK:
                behind.setdefault(target, []).append(sets[letter])
        edges = [Edge(labels[0].union(*labels[1:]), target) for target, labels in behind.items()]
        states.append((*edges, ACCEPT) if accepting else tuple(edges))
        limits.append(MAX_NAME if _MARK in row else MAX_HOSTNAME)
    return limit_lengths(CharAutomaton(tuple(states), deterministic=True), limits)
