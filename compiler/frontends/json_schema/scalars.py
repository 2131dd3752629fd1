"""Strings and numbers: the constraints of a conjunct as a hashable key, the key as an automaton, and is it empty?

Keys intern terminals, so that equal constraints anywhere in a document share one lexical rule.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

from grammar_engine.compiler.frontends.json_schema.conjunction import FRACTION, Conjunct, Number


class StringKey(NamedTuple):
    """Length in code points; patterns (ECMA 262, unanchored) and formats all apply."""

    minimum: int
    maximum: int | None
    patterns: tuple[str, ...]
    formats: tuple[str, ...]


class NumberKey(NamedTuple):
    """A range of values; whole: integers only. A bound is (value, exclusive)."""

    whole: bool
    lower: tuple[Number, bool] | None
    upper: tuple[Number, bool] | None
    multiples: tuple[Number, ...]


def string_key(conjunct: Conjunct) -> StringKey:
    """The string constraints of a conjunct."""
    return StringKey(conjunct.min_length, conjunct.max_length, conjunct.patterns, conjunct.formats)


def number_key(conjunct: Conjunct) -> NumberKey:
    """The number constraints of a conjunct."""
    return NumberKey(
        not conjunct.types & FRACTION, conjunct.lower, conjunct.upper, conjunct.multiples
    )


def exact(value: Number) -> Fraction:
    """The value that a JSON number was written as (0.1 is one tenth, not the nearest float)."""
    return Fraction(repr(value)) if isinstance(value, float) else Fraction(value)


def common_step(key: NumberKey) -> Fraction | None:
    """What the number is a multiple of: all multiples asked for, and 1 for integers; None: of nothing."""
    step = Fraction(1) if key.whole else None
    for multiple in key.multiples:
        factor = exact(multiple)
        step = factor if step is None else _common_multiple(step, factor)
    return step


def whole_bounds(key: NumberKey) -> tuple[int | None, int | None]:
    """Least and greatest integer in the range (None: no bound)."""
    return _multiples_within(key, Fraction(1))


def number_is_possible(key: NumberKey) -> bool:
    """Does any number satisfy the key?"""
    if key.lower is None or key.upper is None:
        return True
    step = common_step(key)
    if step is None:
        low, high = exact(key.lower[0]), exact(key.upper[0])
        return low < high or (low == high and not key.lower[1] and not key.upper[1])
    first, last = _multiples_within(key, step)
    return first is None or last is None or first <= last


def _multiples_within(key: NumberKey, step: Fraction) -> tuple[int | None, int | None]:
    """Least and greatest k such that k·step is in the range."""
    first = last = None
    if key.lower is not None:
        low = exact(key.lower[0])
        first = math.ceil(low / step)
        if key.lower[1] and first * step == low:
            first += 1
    if key.upper is not None:
        high = exact(key.upper[0])
        last = math.floor(high / step)
        if key.upper[1] and last * step == high:
            last -= 1
    return first, last


def _common_multiple(left: Fraction, right: Fraction) -> Fraction:
    numerator = math.lcm(left.numerator * right.denominator, right.numerator * left.denominator)
    return Fraction(numerator, left.denominator * right.denominator)


def number_satisfies(key: NumberKey, value: Number) -> bool:
    """Is ``value`` in the range and a multiple of everything asked for? (``whole`` is the caller's.)"""
    number = exact(value)
    if key.lower is not None:
        low = exact(key.lower[0])
        if number < low or (key.lower[1] and number == low):
            return False
    if key.upper is not None:
        high = exact(key.upper[0])
        if number > high or (key.upper[1] and number == high):
            return False
    return all((number / exact(multiple)).denominator == 1 for multiple in key.multiples)
