"""Values that are given: ``enum`` and ``const``, spelled out.

Scalars of one enumeration become a single terminal, because the lexer then keeps one thread and not one per member.
Objects and arrays become sequences of terminals, so that whitespace stays free in them.

A string has all its JSON spellings (``"a"`` is ``"\\u0061"`` too) up to a size of the enumeration, beyond which they
have the plain one of ``json.dumps``: each character's escapes take seven states. A number has every spelling without an
exponent (``1`` is ``1.00``) and the scientific ones (``1e0``, ``1.0E+00``), as ``exponents.py`` has them beside bounds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from grammar_engine.compiler.automaton import KEEP, MATCH, ByteAutomaton
from grammar_engine.compiler.frontends.json_schema.names import is_spellable, spelling_of
from grammar_engine.compiler.given_strings import given_json_strings, plain_texts

MAX_ESCAPED_CHARACTERS = 2_000
"""Characters of all strings of one enumeration up to which they have every spelling (half a megabyte of states)."""

_DIGITS = b"0123456789"


class Scalars(NamedTuple):
    """Given strings, numbers and constants, as a key: equal values are equal keys, ``1`` and ``1.0`` too."""

    strings: frozenset[str] = frozenset()
    numbers: frozenset[Decimal] = frozenset()
    constants: frozenset[bytes] = frozenset()


def is_scalar(value: object) -> bool:
    """Is the value no object and no array?"""
    return not isinstance(value, dict | list)


def is_writable(value: object) -> bool:
    """Can the value be written as JSON text in UTF-8 (no lone surrogate, no infinity)?"""
    if isinstance(value, str):
        return is_spellable(value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, list):
        return all(map(is_writable, value))
    if isinstance(value, dict):
        return all(map(is_writable, value)) and all(map(is_writable, value.values()))
    return True


def scalars_of(values: Iterable[object]) -> Scalars:
    """The key of some scalars."""
    strings: set[str] = set()
    numbers: set[Decimal] = set()
    constants: set[bytes] = set()
    for value in values:
        if isinstance(value, str):
            strings.add(value)
        elif value is None or isinstance(value, bool):
            constants.add(b"null" if value is None else b"true" if value else b"false")
        else:
            numbers.add(Decimal(repr(value)))
    return Scalars(frozenset(strings), frozenset(numbers), frozenset(constants))


def are_escaped(strings: Iterable[str]) -> bool:
    """Do some strings have all their spellings?"""
    return sum(map(len, strings)) <= MAX_ESCAPED_CHARACTERS


@lru_cache(maxsize=512)
def scalars_automaton(scalars: Scalars, *, plain_integers: bool) -> bytes | ByteAutomaton:
    """All spellings of some scalars; a single text stays a plain literal. plain_integers: see ``JsonSchemaOptions``."""
    strings, numbers, constants = scalars
    escaped = are_escaped(strings)
    words = list(constants) if escaped else [*constants, *map(spelling_of, strings)]
    if len(words) == 1 and not numbers and not (strings and escaped):
        return words[0]
    parts = [plain_texts(words)] if words else []
    if strings and escaped:
        parts.append(given_json_strings(list(strings)))
    if numbers:
        writer = _NumberWriter()
        for number in sorted(numbers):
            writer.number(number, plain_integers=plain_integers)
        parts.append(writer.finish())
    found = parts[0]
    for part in parts[1:]:
        found = _either(found, part)
    return found


class _NumberWriter:
    """A prefix tree of numbers, with loops where zeros may be repeated. State 0 is the start."""

    def __init__(self) -> None:
        self._children: list[dict[int, int]] = [{}]
        self._more: dict[int, list[tuple[int, int, int]]] = {}
        self._final: set[int] = set()
        self._tails: dict[object, int] = {}  # states that many numbers lead to

    def follow(self, state: int, text: bytes) -> int:
        """The state behind a text."""
        children = self._children
        for byte in text:
            child = children[state].get(byte)
            if child is None:
                child = children[state][byte] = self._new()
            state = child
        return state

    def end(self, state: int) -> None:
        """Texts may end in the state."""
        self._final.add(state)

    def number(self, value: Decimal, *, plain_integers: bool) -> None:
        """All spellings of a number."""
        _, digits, exponent = value.as_tuple()
        assert isinstance(exponent, int)
        text = "".join(map(str, digits)).lstrip("0").encode()
        whole = text.rstrip(b"0")
        exponent += len(text) - len(whole)
        for sign in (b"-", b"") if not whole else (b"-",) if value < 0 else (b"",):
            if exponent >= 0:
                integer = self.follow(0, sign + (whole + b"0" * exponent or b"0"))
                self.end(integer)
                if plain_integers:
                    continue
                fraction = self._zeros(self.follow(integer, b"."))
                self.end(fraction)
                if not whole:
                    for mantissa in (integer, fraction):
                        self._exponent(mantissa, None)
            else:
                padded = whole.rjust(1 - exponent, b"0")
                plain = self.follow(0, sign + padded[:exponent] + b"." + padded[exponent:])
                self.end(plain)
                self._zeros_and_end(plain)
            if whole:
                mantissa = self.follow(0, sign + whole[:1])
                power = len(whole) - 1 + exponent
                if len(whole) == 1:
                    self._exponent(mantissa, power)
                    mantissa = self.follow(mantissa, b".")
                else:
                    mantissa = self.follow(mantissa, b"." + whole[1:])
                    self._exponent(mantissa, power)
                self._zeros_and_exponent(mantissa, power)

    def finish(self) -> ByteAutomaton:
        positions: list[tuple[int, int, int]] = []
        entries: list[tuple[int, int, int]] = []
        offsets = [0]
        for state, edges in enumerate(self._children):
            moves = [(byte, byte, child) for byte, child in edges.items()] + self._more.get(state, [])
            entries.extend((len(positions) + index, KEEP, 0) for index in range(len(moves)))
            positions.extend(moves)
            if state in self._final:
                entries.append((MATCH, KEEP, 0))
            offsets.append(len(entries))
        return ByteAutomaton(
            positions=np.array(positions, np.int32),
            offsets=np.array(offsets, np.int32),
            entries=np.array(entries, np.int32),
        )

    def _new(self) -> int:
        self._children.append({})
        return len(self._children) - 1

    def _add(self, state: int, low: int, high: int, target: int) -> None:
        self._more.setdefault(state, []).append((low, high, target))

    def _zeros(self, state: int) -> int:
        """The state behind one zero or more."""
        behind = self._zeros_state()
        self._add(state, _DIGITS[0], _DIGITS[0], behind)
        return behind

    def _zeros_state(self) -> int:
        """A state behind zeros, of which more may follow."""
        behind = self._new()
        self._add(behind, _DIGITS[0], _DIGITS[0], behind)
        return behind

    def _zeros_and_end(self, state: int) -> None:
        """One zero or more, and the end."""
        behind = self._tails.get("end")
        if behind is None:
            behind = self._tails["end"] = self._zeros_state()
            self.end(behind)
        self._add(state, _DIGITS[0], _DIGITS[0], behind)

    def _zeros_and_exponent(self, state: int, power: int) -> None:
        """One zero or more, and an exponent."""
        behind = self._tails.get(("zeros", power))
        if behind is None:
            behind = self._tails["zeros", power] = self._zeros_state()
            self._exponent(behind, power)
        self._add(state, _DIGITS[0], _DIGITS[0], behind)

    def _exponent(self, state: int, power: int | None) -> None:
        """Behind a mantissa: the exponent in all its spellings; None: any. All mantissas share it."""
        letter = self._tails.get(("exponent", power))
        if letter is None:
            letter = self._tails["exponent", power] = self._new()
            self._exponent_behind(letter, power)
        for byte in b"eE":
            self._add(state, byte, byte, letter)

    def _exponent_behind(self, letter: int, power: int | None) -> None:
        begun = self._new()
        if power is None or power >= 0:
            self._add(letter, ord("+"), ord("+"), begun)
        if power is None or power <= 0:
            self._add(letter, ord("-"), ord("-"), begun)
        if power is None:
            end = self._new()
            self.end(end)
            for source in (letter, begun, end):
                self._add(source, _DIGITS[0], _DIGITS[9], end)
            return
        amount = str(abs(power)).encode()
        for source in (letter, begun) if power >= 0 else (begun,):
            zeros = self._zeros(source)
            if power == 0:
                self.end(zeros)
                continue
            for before in (source, zeros):
                middle = before
                for byte in amount:
                    following = self._new()
                    self._add(middle, byte, byte, following)
                    middle = following
                self.end(middle)


def _either(one: ByteAutomaton, other: ByteAutomaton) -> ByteAutomaton:
    """The texts of both, of which the start states are not entered again."""
    first = int(other.offsets[1])
    shift = len(one.offsets) - 2
    positions = other.positions.copy()
    positions[:, 2] += shift
    entries = other.entries.copy()
    entries[entries[:, 0] != MATCH, 0] += len(one.positions)
    begin = int(one.offsets[1])
    return ByteAutomaton(
        positions=np.concatenate([one.positions, positions]),
        offsets=np.concatenate([[0], one.offsets[1:] + first, other.offsets[2:] + len(one.entries)]).astype(np.int32),
        entries=np.concatenate([one.entries[:begin], entries[:first], one.entries[begin:], entries[first:]]),
    )
