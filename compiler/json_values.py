"""JSON values as the guard compares them, and how the text of a value goes on.

Values are equal as JSON Schema has it: strings by their characters, numbers by their value whatever the spelling (1,
1.0 and 10e-1), objects whatever the order of their members; true is not 1.

    following(text, value)    the bytes that may come next if a text that begins so is to be one of this value: none if
                              it cannot be. Too many may be given, because they only say where to look further.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterable
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
_QUOTE = 0x22
_MOST_DIGITS = 4000
_WORDS: dict[object, bytes] = {None: b"null", True: b"true", False: b"false"}


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
    return _whole(text[:half]) * 10 ** (len(text) - half) + _whole(text[half:])


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


def following(text: bytes, value: Any) -> Bytes:
    """See the module."""
    found = _read(text, 0, value)
    if isinstance(found, int):  # a word such as null, which ends where something else comes
        return _ENDS
    return found or NOTHING


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


_Found = int | Bytes | None
"""Where the value ends; what may come next, if the text ends before; None if it is another value."""


def _read(text: bytes, at: int, value: Any) -> _Found:
    at = _skip(text, at)
    if at == len(text):
        return _BLANKS | _first_bytes(value)
    if isinstance(value, Number):
        found = _NUMBER.match(text, at)
        if found is None:
            return None
        raw = found[0].decode()
        if found.end() == len(text):
            return following_number(raw, (value,)) or None
        return found.end() if number(raw) == value else None
    if text[at] not in _first_bytes(value):
        return None
    if isinstance(value, str):
        string = _STRING.match(text, at)
        if string is None:
            return following_string(text[at + 1 :], (value.encode(),)) or None
        return string.end() if text_of(string[1]) == value.encode() else None
    if isinstance(value, list):
        return _read_array(text, at + 1, value)
    if isinstance(value, dict):
        return _read_object(text, at + 1, value)
    word = _WORDS[value]
    if text.startswith(word, at):
        return at + len(word)
    return frozenset((word[len(text) - at],)) if word.startswith(text[at:]) else None


def _first_bytes(value: Any) -> Bytes:
    if isinstance(value, Number):
        return _DIGITS
    if isinstance(value, str):
        return frozenset(b'"')
    if isinstance(value, list | dict):
        return frozenset(b"[" if isinstance(value, list) else b"{")
    return frozenset(_WORDS[value][:1])


def _skip(text: bytes, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def _mark(text: bytes, at: int, byte: bytes) -> _Found:
    """Behind spaces and this byte."""
    at = _skip(text, at)
    if at == len(text):
        return _BLANKS | frozenset(byte)
    return at + 1 if text[at : at + 1] == byte else None


def _read_array(text: bytes, at: int, values: list[Any]) -> _Found:
    found: _Found = at
    for index, value in enumerate(values):
        if index:
            found = _mark(text, at, b",")
            if not isinstance(found, int):
                return found
            at = found
        found = _read(text, at, value)
        if not isinstance(found, int):
            return found
        at = found
    return _mark(text, at, b"]")


def _read_object(text: bytes, at: int, members: dict[str, Any]) -> _Found:
    left = {name.encode(): value for name, value in members.items()}
    first = True
    while left:
        if not first:
            found = _mark(text, at, b",")
            if not isinstance(found, int):
                return found
            at = found
        first = False
        found = _mark(text, at, b'"')
        if not isinstance(found, int):
            return found
        string = _STRING.match(text, found - 1)
        if string is None:
            return following_string(text[found:], left) or None
        name = text_of(string[1])
        if name not in left:
            return None
        found = _mark(text, string.end(), b":")
        if not isinstance(found, int):
            return found
        found = _read(text, found, left.pop(name))
        if not isinstance(found, int):
            return found
        at = found
    return _mark(text, at, b"}")


_ZEROS = re.compile(rb"(\.\d*?|[eE][+-]?)0+$")
_OF_ZERO = re.compile(rb"(?<![\d.])(-?0(?:\.0+)?[eE][+-]?)\d+$")


def shortened(text: bytes) -> bytes:
    """The text with one zero for several at the end of an unfinished fraction or exponent, or for any exponent of zero:
    the same may follow.
    """
    return _ZEROS.sub(rb"\g<1>0", _OF_ZERO.sub(rb"\g<1>0", text))
