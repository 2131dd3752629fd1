"""What a JSON Schema plainly says: that it needs no guard (``ir.Guarding``), since every object is closed and no items
must differ; how its texts begin.
"""

from __future__ import annotations

_SCALARS = frozenset(("string", "integer", "number", "boolean", "null"))
_DIGITS = b"-0123456789"
_REFERENCES = frozenset(("$ref", "anyOf", "oneOf"))
_BESIDE = frozenset(
    ("$comment", "$defs", "$id", "$schema", "default", "definitions", "description", "examples", "title")
)
_OF_OBJECTS = frozenset(("type", "properties", "required", "additionalProperties"))
_OF_ARRAYS = frozenset(("type", "items", "minItems", "maxItems"))


_FIRST = {
    "object": b"{",
    "array": b"[",
    "string": b'"',
    "number": _DIGITS,
    "integer": _DIGITS,
    "boolean": b"tf",
    "null": b"n",
}


def first_bytes(schema: object) -> bytes:
    """Bytes with which the texts of a schema may begin; some too many where only a closer look would tell."""
    kind = schema.get("type") if isinstance(schema, dict) else None
    return _FIRST[kind] if isinstance(kind, str) and kind in _FIRST else b"".join(_FIRST.values())


def needs_no_guard(schema: object) -> bool:
    """Is it certain that no text of a schema has to be guarded? (False where only a closer look would tell.)"""
    todo = [schema]
    while todo:
        here = todo.pop()
        if not isinstance(here, dict):
            return False
        for name in ("$defs", "definitions", "properties"):
            inner = here.get(name)
            if isinstance(inner, dict):
                todo += inner.values()
        keywords = set(here) - _BESIDE
        kind = here.get("type")
        if isinstance(kind, str) and kind in _SCALARS:
            continue
        if "enum" in here or "const" in here:
            values = here["enum"] if "enum" in here else [here["const"]]
            if not isinstance(values, list) or any(isinstance(value, (dict, list)) for value in values):
                return False
        elif kind == "object":
            if here.get("additionalProperties") is not False or keywords - _OF_OBJECTS:
                return False
        elif kind == "array":
            if "items" not in here or keywords - _OF_ARRAYS:
                return False
            todo.append(here["items"])
        elif keywords and not keywords - _REFERENCES:
            for name in ("anyOf", "oneOf"):
                if name in here:
                    if not isinstance(here[name], list):
                        return False
                    todo += here[name]
        else:
            return False
    return True
