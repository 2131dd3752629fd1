"""Strings and numbers: the constraints of a conjunct as a hashable key, the key as an automaton, and is it empty?

Keys intern terminals, so that equal constraints anywhere in a document share one lexical rule.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

from grammar_engine.compiler.frontends.json_schema.conjunction import FRACTION, INTEGER, Conjunct, Number


class StringKey(NamedTuple):
    """Length in code points; patterns (ECMA 262, unanchored) and formats all apply, those with ``not_`` must fail."""

    minimum: int
    maximum: int | None
    patterns: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    not_patterns: tuple[str, ...] = ()
    not_formats: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()


class NumberKey(NamedTuple):
    """A range of values. A bound is (value, exclusive).

    types: INTEGER, FRACTION (what is no integer) or both. not_multiples: the number is a multiple of none of them.
    """

    types: int
    lower: tuple[Number, bool] | None
    upper: tuple[Number, bool] | None
    multiples: tuple[Number, ...] = ()
    not_multiples: tuple[Number, ...] = ()


def string_key(conjunct: Conjunct) -> StringKey:
    """The string constraints of a conjunct."""
    return StringKey(
        conjunct.min_length,
        conjunct.max_length,
        conjunct.patterns,
        conjunct.formats,
        conjunct.not_patterns,
        conjunct.not_formats,
        tuple(sorted(conjunct.excluded)) if conjunct.excluded else (),
    )


def number_key(conjunct: Conjunct) -> NumberKey:
    """The number constraints of a conjunct."""
    return NumberKey(
        conjunct.types & (INTEGER | FRACTION),
        conjunct.lower,
        conjunct.upper,
        conjunct.multiples,
        conjunct.not_multiples,
    )


def exact(value: Number) -> Fraction:
    """The value that a JSON number was written as (0.1 is one tenth, not the nearest float)."""
    return Fraction(repr(value)) if isinstance(value, float) else Fraction(value)


def common_step(key: NumberKey) -> Fraction | None:
    """What the number is a multiple of: all multiples asked for, and 1 for integers; None: of nothing."""
    step = Fraction(1) if key.types == INTEGER else None
    for multiple in key.multiples:
        factor = exact(multiple)
        step = factor if step is None else _common_multiple(step, factor)
    return step


def whole_bounds(key: NumberKey) -> tuple[int | None, int | None]:
    """Least and greatest integer in the range (None: no bound)."""
    return _multiples_within(key, Fraction(1))


def is_range(key: NumberKey) -> bool:
    """Is the key a plain range of integers or of all numbers, perhaps with multiples?"""
    return key.types != FRACTION and not key.not_multiples


def range_is_possible(key: NumberKey) -> bool:
    """Does any number satisfy the key (for which ``is_range`` holds)?"""
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
    """Is ``value`` in the range and a multiple of everything asked for? (``types`` is the caller's.)"""
    number = exact(value)
    if key.lower is not None:
        low = exact(key.lower[0])
        if number < low or (key.lower[1] and number == low):
            return False
    if key.upper is not None:
        high = exact(key.upper[0])
        if number > high or (key.upper[1] and number == high):
            return False
    return all((number / exact(multiple)).denominator == 1 for multiple in key.multiples) and not any(
        (number / exact(multiple)).denominator == 1 for multiple in key.not_multiples
    )
