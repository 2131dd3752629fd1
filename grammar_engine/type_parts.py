"""Small parts of the schemas that are made from Python types."""

from __future__ import annotations

from typing import Any

from grammar_engine.compiler.errors import UnsupportedSchemaError

JsonSchemaValue = dict[str, Any]


def nothing() -> JsonSchemaValue:
    """What no value satisfies."""
    return {"not": {}}


def refused(construct: str, advice: str) -> UnsupportedSchemaError:
    """The error of a type that no schema can stand for (the pointer is not known while a schema is made)."""
    return UnsupportedSchemaError(construct, pointer="", advice=advice)


def with_all(schema: JsonSchemaValue, asked: list[JsonSchemaValue]) -> JsonSchemaValue:
    """The schema and more patterns; the first as a sibling where that is free."""
    if asked and "pattern" not in schema:
        schema = {**schema, **asked[0]}
        asked = asked[1:]
    return {**schema, "allOf": asked} if asked else schema


def later(left: Any, right: Any) -> Any:
    """The greater of two bounds from below; None is no bound."""
    return right if left is None else max(left, right)


def earlier(left: Any, right: Any) -> Any:
    """The smaller of two bounds from above."""
    return right if left is None else min(left, right)
