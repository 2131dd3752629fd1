"""The types of JSON values, as bits; and when two values are equal.

``integer`` and ``number`` differ by FRACTION: an integer is a number without one. Booleans are two types.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NULL, TRUE, FALSE, INTEGER, FRACTION, STRING, ARRAY, OBJECT = 1, 2, 4, 8, 16, 32, 64, 128
EVERY_TYPE = 255
TYPE_BITS: Mapping[str, int] = {
    "null": NULL,
    "boolean": TRUE | FALSE,
    "integer": INTEGER,
    "number": INTEGER | FRACTION,
    "string": STRING,
    "array": ARRAY,
    "object": OBJECT,
}


def type_bits(value: Any) -> int:
    """The value of ``type`` as bits; None: every type."""
    if value is None:
        return EVERY_TYPE
    if isinstance(value, str):
        return TYPE_BITS[value]
    bits = 0
    for name in value:
        bits |= TYPE_BITS[name]
    return bits


def type_bit(value: object) -> int:
    """The type of a JSON value, as a bit."""
    if value is None:
        return NULL
    if isinstance(value, bool):
        return TRUE if value else FALSE
    if isinstance(value, int):
        return INTEGER
    if isinstance(value, float):
        return INTEGER if value.is_integer() else FRACTION
    if isinstance(value, str):
        return STRING
    return ARRAY if isinstance(value, list) else OBJECT


def identity(value: object) -> object:
    """A hashable that is equal for equal JSON values: 1 is 1.0, but true is not 1."""
    if isinstance(value, bool) or value is None:
        return ("literal", value)
    if isinstance(value, list):
        return ("array", *map(identity, value))
    if isinstance(value, dict):
        return ("object", frozenset((name, identity(member)) for name, member in value.items()))
    return value
