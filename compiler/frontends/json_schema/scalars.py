"""Strings and numbers: the constraints of a conjunct as a hashable key, the key as an automaton, and is it empty?

Keys intern terminals, so that equal constraints anywhere in a document share one lexical rule.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import NamedTuple

from grammar_engine.compiler.automaton_product import Formula as TextFormula
from grammar_engine.compiler.digit_limit import DigitLimit
from grammar_engine.compiler.frontends.json_schema.conjuncts import Conjunct, Number
from grammar_engine.compiler.frontends.json_schema.json_types import FRACTION, INTEGER

_TRIED = 1000  # multiples looked at one by one


class StringKey(NamedTuple):
    """Length in code points; patterns (ECMA 262, unanchored) and formats all apply, those with ``not_`` must fail.

    choices: formulas that must hold too. Their operands are atoms: ("pattern", pattern), ("format", name),
    ("among", strings), ("least", length), ("most", length).
    """

    minimum: int
    maximum: int | None
    patterns: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    not_patterns: tuple[str, ...] = ()
    not_formats: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    choices: tuple[TextFormula, ...] = ()


class NumberKey(NamedTuple):
    """A range of values. A bound is (value, exclusive).

    types: INTEGER, FRACTION (what is no integer) or both. not_multiples: the number is a multiple of none of them
    (of 1, for fractions). limit: of digits. ``number_key`` makes equal what means the same.
    """

    types: int
    lower: tuple[Number, bool] | None
    upper: tuple[Number, bool] | None
    multiples: tuple[Number | Fraction, ...] = ()
    not_multiples: tuple[Number | Fraction, ...] = ()
    limit: DigitLimit | None = None


HELD_BY_PYTHON: Mapping[str, DigitLimit] = MappingProxyType(
    {
        "python-number": DigitLimit(digits=4_000, exponent=9),
        "python-finite": DigitLimit(digits=200, exponent=2),
    }
)
"""Formats of numbers, of our own, for schemas made from Python types (``grammar_engine.types``)."""


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
        conjunct.text_choices,
    )


def number_key(conjunct: Conjunct) -> NumberKey:
    """The number constraints of a conjunct."""
    types = conjunct.types & (INTEGER | FRACTION)
    key = NumberKey(types, conjunct.lower, conjunct.upper, conjunct.multiples)
    for name in conjunct.formats:
        if name in HELD_BY_PYTHON:
            key = key._replace(limit=HELD_BY_PYTHON[name])
    excluded = conjunct.not_multiples
    if types == FRACTION:
        excluded = (*excluded, 1)
    if not excluded:
        return key
    step = common_step(key)
    steps = sorted({_needed(step, exact(multiple)) for multiple in excluded})
    # What is no multiple of 2 is none of 6 either.
    kept = [step for step in steps if not any(other < step and (step / other).denominator == 1 for other in steps)]
    return key._replace(multiples=() if step is None else (step,), not_multiples=tuple(kept))


def _needed(step: Fraction | None, excluded: Fraction) -> Fraction:
    """The least number that may stand for ``excluded`` among multiples of ``step``: of a multiple of 33, "no multiple
    of 6" means that it is odd.
    """
    if step is None or step.denominator != 1 or excluded.denominator != 1:
        return excluded
    whole = excluded.numerator
    found = whole // math.gcd(whole, step.numerator)
    while (common := math.gcd(whole // found, found)) > 1:
        found *= common
    return Fraction(found)


def exact(value: Number | Fraction) -> Fraction:
    """The value that a JSON number was written as (0.1 is one tenth, not the nearest float)."""
    return Fraction(repr(value)) if isinstance(value, float) else Fraction(value)


def decimal_of(value: Fraction) -> Decimal:
    """A fraction with a finite decimal expansion, exactly (every JSON number is one)."""
    digits, denominator = 0, value.denominator
    while denominator % 10 == 0:
        denominator //= 10
        digits += 1
    while denominator % 2 == 0 or denominator % 5 == 0:
        denominator = denominator // 2 if denominator % 2 == 0 else denominator // 5
        digits += 1
    return Decimal(f"{(value * 10**digits).numerator}E-{digits}")


def common_step(key: NumberKey) -> Fraction | None:
    """What the number is a multiple of: all multiples asked for, and 1 for integers; None: of nothing."""
    step = Fraction(1) if key.types == INTEGER else None
    for multiple in key.multiples:
        factor = exact(multiple)
        step = factor if step is None else _common_multiple(step, factor)
    return step


def whole_bounds(key: NumberKey) -> tuple[int | None, int | None]:
    """Least and greatest integer in the range (None: no bound)."""
    return multiples_within(key, Fraction(1))


def range_is_possible(key: NumberKey) -> bool | None:
    """Does any number satisfy the key? None: an automaton must tell."""
    step = common_step(key)
    excluded = [exact(multiple) for multiple in key.not_multiples]
    if step is not None and any((step / multiple).denominator == 1 for multiple in excluded):
        return False
    if key.lower is None or key.upper is None:
        # step·k is in the range for some k that leaves the remainder 1 by all that is excluded, so it is none of those.
        return True
    if step is None:
        low, high = exact(key.lower[0]), exact(key.upper[0])
        if low == high and not key.lower[1] and not key.upper[1]:
            return not any((low / multiple).denominator == 1 for multiple in excluded)
        return low < high
    first, last = multiples_within(key, step)
    if first is None or last is None or first > last:
        return False
    for k in range(first, min(last, first + _TRIED) + 1):
        if not any((k * step / multiple).denominator == 1 for multiple in excluded):
            return True
    return False if last <= first + _TRIED else None


def count_of_numbers(key: NumberKey) -> tuple[int, int | None]:
    """How many numbers satisfy the key, at least and at most (None: no bound)."""
    step = common_step(key)
    if key.lower is None or key.upper is None:
        return 1 << 60, None
    if step is None:
        many = exact(key.lower[0]) < exact(key.upper[0])
        return (1 << 60, None) if many else (0, 1)
    first, last = multiples_within(key, step)
    count = max(0, (last or 0) - (first or 0) + 1)
    return (0 if key.not_multiples else count), count


def multiples_within(key: NumberKey, step: Fraction) -> tuple[int | None, int | None]:
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


def number_satisfies(key: NumberKey, value: Number | Fraction) -> bool:
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
