"""JSON numbers beyond what a double holds, and values written without exponents and needless fractions."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import jsonschema


def exact_value(text: str) -> Any:
    """The value of a JSON text, in which a number with more digits than a double has is kept as a ``Decimal``."""

    def read(literal: str) -> float | Decimal | int:
        exact = Decimal(literal)
        if Decimal(repr(float(literal))) == exact:
            return float(literal)
        return int(exact) if exact == exact.to_integral_value() and exact.adjusted() < 400 else exact

    return json.loads(text, parse_float=read)


def has_many_digits(text: str) -> bool:
    """Does the text hold a number that is not the shortest spelling of a double?"""
    return any(isinstance(part, Decimal | int) and not _is_double(part) for part in _scalars(exact_value(text)))


def holds_infinity(value: Any) -> bool:
    """Does it hold a number that Python read as infinity?"""
    return any(isinstance(part, float) and math.isinf(part) for part in _scalars(value))


def plain_text(value: Any) -> str:
    """The value as JSON, whole floats as integers, no exponents, no escapes outside of what JSON must escape."""
    if isinstance(value, dict):
        members = (f"{json.dumps(name, ensure_ascii=False)}: {plain_text(member)}" for name, member in value.items())
        return "{" + ", ".join(members) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(plain_text, value)) + "]"
    if isinstance(value, float):
        exact = Decimal(repr(value))
        return str(int(exact)) if value.is_integer() else format(exact, "f")
    return json.dumps(value, ensure_ascii=False)


def _is_double(value: Decimal | int) -> bool:
    if isinstance(value, bool) or (isinstance(value, int) and abs(value) <= 1 << 53):
        return True
    return math.isfinite(float(value)) and Fraction(float(value)) == Fraction(value)


def _scalars(value: Any) -> Iterator[Any]:
    todo = [value]
    while todo:
        part = todo.pop()
        if isinstance(part, dict):
            todo += part.values()
        elif isinstance(part, list):
            todo += part
        else:
            yield part


# -- keywords of jsonschema that compare exactly ----------------------------------------------------------------------

Errors = Iterator[jsonschema.ValidationError]


def _exact(value: Any) -> Fraction | None:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    return Fraction(repr(value)) if isinstance(value, float) else Fraction(value)


def _keyword(name: str) -> Any:
    def check(_validator: Any, bound: Any, instance: Any, schema: Any) -> Errors:
        value, limit = _exact(instance), _exact(bound)
        if value is None or limit is None:
            return
        strict = name.startswith("exclusive") or schema.get(f"exclusive{name.capitalize()}") is True
        if name == "multipleOf":
            wrong = (value / limit).denominator != 1
        elif name.lower().endswith("minimum"):
            wrong = value <= limit if strict else value < limit
        else:
            wrong = value >= limit if strict else value > limit
        if wrong:
            yield jsonschema.ValidationError(f"{instance} against {name} {bound}")

    return check


EXACT_KEYWORDS = {
    name: _keyword(name) for name in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
}
"""Number keywords by fractions of what was written: 0.3 is a multiple of 0.1."""
