"""JSON values as the guard compares them, and how the text of a value goes on.

Values are equal as JSON Schema has it: strings by their characters, numbers by their value whatever the spelling (1,
1.0 and 10e-1), objects whatever the order of their members; true is not 1.

    alike(text, values)    those of the values that a text which begins so may be of, and the bytes that may come next
                           if it is to be. Too many may be given, because they only say where to look further.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, NamedTuple

from grammar_engine.compiler.guard_tokens import spellings
from grammar_engine.compiler.json_text import split, text_of


class Number(NamedTuple):
    """± digits · 10^exponent, without zeros at either end of the digits; zero has none."""

    negative: bool
    digits: str
    exponent: int


Bytes = frozenset[int]
NOTHING: Bytes = frozenset()

_PARTS = re.compile(r"(-?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d*))?")
_NUMBER = re.compile(rb"[-+.0-9eE]+")
_SPACE = re.compile(rb"[ \t\r\n]*")
_STRING = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_BLANKS = frozenset(b" \t\r\n")
_DIGITS = frozenset(b"0123456789.eE+-")
_ENDS = _BLANKS | frozenset(b",]}")
_POWER = "+-0123456789"
_QUOTE, _COMMA, _COLON, _OPEN_OBJECT, _CLOSE_OBJECT, _OPEN_ARRAY, _CLOSE_ARRAY = b'",:{}[]'
_MOST_DIGITS = 4000
_WORDS: tuple[tuple[object, bytes], ...] = ((None, b"null"), (True, b"true"), (False, b"false"))


def number(text: str) -> Number:
    """The value of a JSON number, exactly, however large its exponent is."""
    parts = _PARTS.fullmatch(text)
    assert parts is not None
    sign, whole, fraction, power = parts.groups("")
    exponent = (_whole(power) if power else 0) - len(fraction)
    digits = (whole + fraction).lstrip("0")
    short = digits.rstrip("0")
    if not short:
        return Number(False, "", 0)
    return Number(sign == "-", short, exponent + len(digits) - len(short))


def _whole(text: str) -> int:
    """``int(text)``, which Python refuses to many digits."""
    if len(text) <= _MOST_DIGITS:
        return int(text)
    if text[0] in "+-":
        return -_whole(text[1:]) if text[0] == "-" else _whole(text[1:])
    half = len(text) // 2
    power: int = 10 ** (len(text) - half)
    return _whole(text[:half]) * power + _whole(text[half:])


def value_of(text: bytes) -> Any:
    """The value of a JSON text, its numbers exact."""
    return json.loads(text, parse_int=number, parse_float=number)


def identity(value: Any) -> Hashable:
    """Equal for equal values."""
    if isinstance(value, Number | str):
        return value
    if isinstance(value, list):
        return ("array", *map(identity, value))
    if isinstance(value, dict):
        return ("object", frozenset((name, identity(member)) for name, member in value.items()))
    return ("literal", value)


def alike(text: bytes, values: Sequence[Any]) -> tuple[list[Any], Bytes]:
    """See the module. The text is read once for all values."""
    end, left, found = _read(text, 0, list(enumerate(values)))
    if end >= 0 and left:  # a word such as null, which ends where something else comes
        found = _ENDS
    return [values[index] for index, _ in left], found


def following_string(raw: bytes, values: Iterable[bytes]) -> Bytes:
    """The same inside a string that is one of several, as UTF-8. raw: its spelling so far."""
    value, tail = split(raw)
    out: set[int] = set()
    for other in values:
        if not other.startswith(value):
            continue
        at = len(value)
        if at == len(other):
            if not tail:
                out.add(_QUOTE)
        elif 0x80 <= other[at] < 0xC0:
            out.add(other[at])
        else:
            end = at + 1
            while end < len(other) and 0x80 <= other[end] < 0xC0:
                end += 1
            for way in spellings(other[at:end].decode()):
                if way.startswith(tail):
                    out.add(way[len(tail)])
    return frozenset(out)


def following_number(raw: str, values: Iterable[Number]) -> Bytes:
    """The same inside a number. Wherever its point stands: an exponent may move it."""
    parts = _PARTS.fullmatch(raw)
    if parts is None:
        return NOTHING
    sign, whole, fraction, power = parts.groups()
    digits = ((whole or "") + (fraction or "")).lstrip("0")
    short = digits.rstrip("0")
    moved = len(digits) - len(short) - len(fraction or "")
    now = number(raw) if raw[-1:].isdigit() else None
    out: set[int] = set()
    for value in values:
        if value.digits and (sign == "-") != value.negative:
            continue
        if power is not None:
            if short != value.digits:
                continue
            found = _following_power(power, value.exponent - moved) if value.digits else _POWER
        elif value.digits.startswith(digits):
            found = value.digits[len(digits) : len(digits) + 1] or "0"
            found += ".eE" if digits else "0.eE"
        elif short == value.digits:
            found = "0.eE"
        else:
            continue
        out.update(found.encode())
        if now == value:
            out |= _ENDS
    return frozenset(out)


def _following_power(text: str, power: int) -> str:
    """The characters that may come next in an exponent that is to be this one."""
    if not text:
        return _POWER
    if (power > 0 and text[0] == "-") or (power < 0 and text[0] != "-"):
        return ""
    digits = text.lstrip("+-").lstrip("0")
    if abs(power) >= 10**_MOST_DIGITS:
        return _POWER
    wanted = str(abs(power))
    if not wanted.startswith(digits):
        return ""
    return wanted[len(digits) : len(digits) + 1] if digits else wanted[0] + "0"


_Left = list[tuple[int, Any]]
_Read = tuple[int, _Left, Bytes]
"""Where the values end, −1 if the text ends before; those that it may still be; what may come next if it has ended."""

_NONE_LEFT: _Read = (0, [], NOTHING)


def _read(text: bytes, at: int, left: _Left) -> _Read:
    """Read one value; ``left``: numbers and values of the candidates."""
    at = _skip(text, at)
    if at == len(text):
        return -1, left, _BLANKS.union(*(_first_bytes(value) for _, value in left)) if left else NOTHING
    first = text[at]
    if first == _QUOTE:
        return _read_string(text, at, [(i, value.encode()) for i, value in left if isinstance(value, str)])
    if first in _DIGITS:
        return _read_number(text, at, [(i, value) for i, value in left if isinstance(value, Number)])
    if first == _OPEN_ARRAY:
        return _read_array(text, at + 1, [(i, value) for i, value in left if type(value) is list])
    if first == _OPEN_OBJECT:
        return _read_object(text, at + 1, [(i, value) for i, value in left if isinstance(value, dict)])
    for meant, word in _WORDS:
        if word[0] == first:
            left = [(i, value) for i, value in left if value is meant]
            if text.startswith(word, at):
                return at + len(word), left, NOTHING
            if left and word.startswith(text[at:]):
                return -1, left, frozenset((word[len(text) - at],))
    return _NONE_LEFT


def _first_bytes(value: Any) -> Bytes:
    if isinstance(value, Number):
        return _DIGITS
    if isinstance(value, str):
        return frozenset(b'"')
    if isinstance(value, list | dict):
        return frozenset(b"[" if isinstance(value, list) else b"{")
    return frozenset(next(word for meant, word in _WORDS if meant is value)[:1])


def _skip(text: bytes, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def _read_string(text: bytes, at: int, left: _Left) -> _Read:
    string = _STRING.match(text, at)
    if string is not None:
        value = text_of(string[1])
        return string.end(), [(i, other) for i, other in left if other == value], NOTHING
    begin, _ = split(text[at + 1 :])
    left = [(i, other) for i, other in left if other.startswith(begin)]
    found = following_string(text[at + 1 :], [other for _, other in left])
    return -1, left if found else [], found


def _read_number(text: bytes, at: int, left: _Left) -> _Read:
    found = _NUMBER.match(text, at)
    raw = "" if found is None else found[0].decode()
    if at + len(raw) < len(text):
        value = number(raw) if _PARTS.fullmatch(raw) else None
        return at + len(raw), [(i, other) for i, other in left if other == value], NOTHING
    following = following_number(raw, [other for _, other in left])
    return -1, left if following else [], following


def _mark(text: bytes, at: int, byte: int, left: _Left) -> _Read:
    """Behind spaces and this byte."""
    at = _skip(text, at)
    if at == len(text):
        return -1, left, _BLANKS | {byte} if left else NOTHING
    return (at + 1, left, NOTHING) if text[at] == byte else _NONE_LEFT


def _read_array(text: bytes, at: int, left: _Left) -> _Read:
    index = 0
    while left:
        here = _skip(text, at)
        ending = [(i, value) for i, value in left if len(value) == index]
        longer = [(i, value) for i, value in left if len(value) > index]
        if here == len(text):
            found: Bytes = frozenset((_CLOSE_ARRAY,)) if ending else NOTHING
            if longer:
                found |= frozenset((_COMMA,)) if index else _first_of(value[0] for _, value in longer)
            return -1, left, found | _BLANKS
        if text[here] == _CLOSE_ARRAY:
            return here + 1, ending, NOTHING
        if index:
            if text[here] != _COMMA:
                break
            here += 1
        end, inner, found = _read(text, here, [(i, value[index]) for i, value in longer])
        left = _with_numbers(longer, inner)
        if end < 0:
            return -1, left, found
        at, index = end, index + 1
    return _NONE_LEFT


def _first_of(values: Iterable[Any]) -> Bytes:
    return frozenset[int]().union(*map(_first_bytes, values))


def _with_numbers(left: _Left, inner: _Left) -> _Left:
    numbers = {i for i, _ in inner}
    return [(i, value) for i, value in left if i in numbers]


def _read_object(text: bytes, at: int, left: _Left) -> _Read:
    seen: set[str] = set()
    while left:
        here = _skip(text, at)
        ending = [(i, value) for i, value in left if len(value) == len(seen)]
        longer = [(i, value) for i, value in left if len(value) > len(seen)]
        if here == len(text):
            found = frozenset((_CLOSE_OBJECT,)) if ending else NOTHING
            if longer:
                found |= {_COMMA if seen else _QUOTE}
            return -1, left, found | _BLANKS
        if text[here] == _CLOSE_OBJECT:
            return here + 1, ending, NOTHING
        if seen:
            if text[here] != _COMMA:
                break
            here += 1
        end, left, found = _mark(text, here, _QUOTE, longer)
        if end < 0 or not left:
            return end, left, found
        string = _STRING.match(text, end - 1)
        if string is None:
            names = {name for _, value in left for name in value.keys() - seen}
            found = following_string(text[end:], [name.encode() for name in names])
            return -1, left if found else [], found
        name = text_of(string[1]).decode()
        left = [(i, value) for i, value in left if name in value]
        seen.add(name)
        end, left, found = _mark(text, string.end(), _COLON, left)
        if end < 0 or not left:
            return end, left, found
        end, inner, found = _read(text, end, [(i, value[name]) for i, value in left])
        left = _with_numbers(left, inner)
        if end < 0:
            return -1, left, found
        at = end
    return _NONE_LEFT


_ZEROS = re.compile(rb"(\.\d*?|[eE][+-]?)0+$")
_OF_ZERO = re.compile(rb"(?<![\d.])(-?0(?:\.0+)?[eE][+-]?)\d+$")


def shortened(text: bytes) -> bytes:
    """The text with one zero for several at the end of an unfinished fraction or exponent, or for any exponent of zero:
    the same may follow.
    """
    return _ZEROS.sub(rb"\g<1>0", _OF_ZERO.sub(rb"\g<1>0", text))
