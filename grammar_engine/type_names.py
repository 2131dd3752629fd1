"""Names of members that pydantic reads as the keys of a mapping."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from grammar_engine import type_patterns as patterns
from grammar_engine.type_parts import JsonSchemaValue, earlier, later, nothing, refused


def name_schema(
    resolve: Callable[[JsonSchemaValue], JsonSchemaValue], described: JsonSchemaValue, kind: str
) -> JsonSchemaValue | bool:
    """The names that are read as the values of a schema; ``kind`` is the core schema's type."""
    shown = resolve(described)
    if "anyOf" in shown:
        branches = [name_schema(resolve, branch, "") for branch in shown["anyOf"]]
        return True if True in branches else {"anyOf": branches}
    if "enum" in shown or "const" in shown:
        values = shown.get("enum", [shown.get("const")])
        read = kind != "literal" and shown.get("type") == "integer"  # those of an IntEnum; a Literal stays a text
        return {"enum": [str(value) if read else value for value in values if read or isinstance(value, str)]}
    build = _NAMES.get(shown.get("type", "any") if shown else "any")
    return False if build is None else build(shown)


def _integer_name(shown: JsonSchemaValue) -> JsonSchemaValue:
    low, high = shown.get("minimum"), shown.get("maximum")
    if "exclusiveMinimum" in shown:
        low = later(low, shown["exclusiveMinimum"] + 1)
    if "exclusiveMaximum" in shown:
        high = earlier(high, shown["exclusiveMaximum"] - 1)
    if "multipleOf" in shown:
        raise refused("multiple_of in the keys of a dict", "Use a list of pairs.")
    whole = patterns.whole_numbers(low, high)
    return nothing() if whole is None else {"pattern": f"^{whole}$"}


def _number_name(shown: JsonSchemaValue) -> JsonSchemaValue:
    if any(bound in shown for bound in ("minimum", "maximum", "multipleOf", "allOf")):
        raise refused("bounds of numbers in the keys of a dict", "Use a list of pairs.")
    return {"pattern": patterns.FLOAT}


_NAMES: Mapping[str, Callable[[JsonSchemaValue], JsonSchemaValue | bool]] = {
    "any": lambda _: True,
    "string": lambda shown: {key: value for key, value in shown.items() if key != "title"},
    "integer": _integer_name,
    "number": _number_name,
    "boolean": lambda _: {"enum": ["true", "false"]},
}
