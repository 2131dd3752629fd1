"""Names for schemas, equal for those that are written alike: what is said twice is seen to be one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from grammar_engine.compiler.frontends.json_schema.internal import Internal
from grammar_engine.compiler.frontends.json_schema.references import Schema

_MAX_SIZE = 400
"""Parts of a schema that are compared with those of another one; beyond, only the schema itself is the same."""
_MAX_DEPTH = 30


class Keys:
    """The names of the schemas of one document; references count as what they name."""

    def __init__(self, targets: Mapping[int, Schema]) -> None:
        self._targets = targets
        self._known: dict[int, tuple[Schema, object]] = {}  # the schema is kept, so that its identity stays its own

    def of(self, schema: Schema) -> object:
        """The name of a schema."""
        if isinstance(schema, bool):
            return schema
        known = self._known.get(id(schema))
        if known is None:
            parts = 0

            def count() -> bool:
                nonlocal parts
                parts += 1
                return parts <= _MAX_SIZE

            key = self._written(schema, count, _MAX_DEPTH)
            known = self._known[id(schema)] = (schema, id(schema) if key is None else key)
        return known[1]

    def _written(self, value: object, count: Callable[[], bool], depth: int) -> object:
        """Its text as a hashable; None for what is too large or was made by a negation."""
        if not count() or depth == 0:
            return None
        if isinstance(value, dict):
            parts: list[object] = []
            for name, member in value.items():
                if isinstance(name, Internal):
                    return None
                if name == "$ref":
                    target = self._targets.get(id(value))
                    if target is None:
                        return None
                    parts.append((name, id(target)))
                    continue
                written = self._written(member, count, depth - 1)
                if written is None:
                    return None
                parts.append((name, written))
            return ("object", frozenset(parts))
        if isinstance(value, list):
            items = [self._written(item, count, depth - 1) for item in value]
            return None if None in items else ("array", *items)
        return (type(value).__name__, value)
