"""Seeded random schemas that cover every keyword of a draft, and every pair of them.

A schema is built around a *focus*: two keywords that must stand beside each other, or one inside the other. What else
it holds is random. Its draft decides which keywords there are and how they are written.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from schema_fuzzing.strings import FORMATS, NAMES, PATTERNS, SAMPLES

TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")
NUMBERS = (-3, -1, 0, 1, 2, 3, 5, 7, 100, 0.5, 1.5, -0.25, 0.1, 0.3, 1e-3)
BIG_NUMBERS = (2**53 + 1, 10**20, -(10**18), 1e300, 123456789.125)

_SCALAR = (
    "type", "enum", "minLength", "maxLength", "pattern", "format", "minimum", "maximum", "exclusiveMinimum",
    "exclusiveMaximum", "multipleOf", "required", "minProperties", "maxProperties", "minItems", "maxItems",
    "uniqueItems",
)  # fmt: skip
_NESTING = (
    "properties", "patternProperties", "additionalProperties", "items", "allOf", "anyOf", "oneOf", "not", "$ref",
)  # fmt: skip
_OLD = ("dependencies", "additionalItems")
_SIX = ("const", "contains", "propertyNames")
_SEVEN = ("if", "then", "else")
_MODERN = (
    "dependentRequired", "dependentSchemas", "minContains", "maxContains", "unevaluatedItems",
    "unevaluatedProperties",
)  # fmt: skip


@dataclass(frozen=True)
class Draft:
    """A draft: its name, the URI of its metaschema and its keywords."""

    name: str
    uri: str
    keywords: tuple[str, ...]
    definitions: str = "definitions"
    ref_overrides: bool = False

    @property
    def tuple_keyword(self) -> str:
        """The keyword whose value lists the schemas of the first items."""
        return "prefixItems" if "prefixItems" in self.keywords else "items"


DRAFTS = (
    Draft("4", "http://json-schema.org/draft-04/schema#", _SCALAR + _NESTING + _OLD, ref_overrides=True),
    Draft("6", "http://json-schema.org/draft-06/schema#", _SCALAR + _NESTING + _OLD + _SIX, ref_overrides=True),
    Draft(
        "7",
        "http://json-schema.org/draft-07/schema#",
        _SCALAR + _NESTING + _OLD + _SIX + _SEVEN,
        ref_overrides=True,
    ),
    Draft(
        "2019-09",
        "https://json-schema.org/draft/2019-09/schema",
        _SCALAR + _NESTING + _SIX + _SEVEN + _MODERN + ("additionalItems",),
        "$defs",
    ),
    Draft(
        "2020-12",
        "https://json-schema.org/draft/2020-12/schema",
        _SCALAR + _NESTING + _SIX + _SEVEN + _MODERN + ("prefixItems",),
        "$defs",
    ),
)  # fmt: skip

# A keyword that says nothing without another one.
COMPANIONS = {
    "then": "if",
    "else": "if",
    "minContains": "contains",
    "maxContains": "contains",
    "additionalItems": "items",
    "if": "then",
}

APPLICATORS = frozenset(_NESTING + _OLD + _SIX + _SEVEN + _MODERN + ("prefixItems",)) - {
    "const", "dependentRequired", "minContains", "maxContains", "$ref",
}  # fmt: skip


@dataclass(frozen=True)
class Focus:
    """Two keywords of a draft: beside each other, or the second inside a subschema of the first."""

    first: str
    second: str
    nested: bool


def focuses(draft: Draft) -> list[Focus]:
    """Every pair of the draft's keywords."""
    beside = [Focus(a, b, False) for a, b in itertools.combinations(draft.keywords, 2)]
    if draft.ref_overrides:
        beside = [focus for focus in beside if "$ref" not in (focus.first, focus.second)]
    inside = [Focus(a, b, True) for a in draft.keywords if a in APPLICATORS for b in draft.keywords]
    return beside + inside


class SchemaGenerator:
    """Random schemas of one draft."""

    def __init__(self, draft: Draft, rng: random.Random, *, depth: int = 3) -> None:
        self._draft = draft
        self._rng = rng
        self._depth = depth
        self._definitions: list[str] = []
        keywords = set(draft.keywords)
        self._scalar = [name for name in draft.keywords if name not in APPLICATORS and name != "$ref"]
        self._nesting = sorted((keywords & APPLICATORS) | {"$ref"})

    def generate(self, focus: Focus | None = None) -> dict[str, Any] | bool:
        """A schema with ``$schema``, definitions and the focus somewhere near its root."""
        rng = self._rng
        self._definitions = ["x", "y"][: rng.choice([0, 1, 1, 2])]
        if focus is not None and "$ref" in (focus.first, focus.second):
            self._definitions = self._definitions or ["x"]
        wrapped = focus is not None and rng.random() < 0.25
        core = self._focused(focus, self._depth - wrapped) if focus is not None else self._schema(self._depth)
        root = self._wrap(core) if wrapped else core
        if isinstance(root, bool):
            return root
        if self._definitions:
            found = {name: self._schema(self._depth - 1) for name in self._definitions}
            if "$ref" in root and self._draft.ref_overrides:
                root = {"allOf": [root]}
            root = {self._draft.definitions: found, **root}
        return {"$schema": self._draft.uri, **root}

    def _wrap(self, core: Any) -> Any:
        shapes: list[Any] = [
            {"properties": {"a": core}, "required": ["a"]},
            {"items": core},
            {"allOf": [core, self._schema(1)]},
            {"not": core},
            {"anyOf": [core, self._schema(1)]},
            {"additionalProperties": core},
        ]
        return self._rng.choice(shapes)

    def _focused(self, focus: Focus, depth: int) -> dict[str, Any]:
        schema: dict[str, Any] = {}
        if focus.nested:
            inner = self._with(focus.second, {}, depth - 1)
            self._with(focus.first, schema, depth, inner)
        else:
            self._with(focus.first, schema, depth)
            self._with(focus.second, schema, depth)
        for _ in range(self._rng.choice([0, 0, 1, 1, 2])):
            self._with(self._any_keyword(depth), schema, depth)
        return schema

    def _any_keyword(self, depth: int) -> str:
        nesting = depth > 0 and self._rng.random() < 0.45
        return self._rng.choice(self._nesting if nesting else self._scalar)

    def _schema(self, depth: int) -> Any:
        rng = self._rng
        if rng.random() < (0.1 if depth > 0 else 0.25):
            return self._boolean(rng.random() < 0.65)
        schema: dict[str, Any] = {}
        for _ in range(rng.choice([1, 1, 2, 2, 3])):
            self._with(self._any_keyword(depth), schema, depth)
        return schema

    def _boolean(self, value: bool) -> Any:
        """Draft 4 has no boolean schemas."""
        if self._draft.name != "4":
            return value
        return {} if value else {"not": {}}

    def _with(self, keyword: str, schema: dict[str, Any], depth: int, inner: Any = None) -> dict[str, Any]:
        """Add a keyword, and often the one that it needs. ``inner``: a subschema that it must hold."""
        if keyword in schema:
            return schema
        if self._draft.ref_overrides and ("$ref" in schema or (keyword == "$ref" and schema)):
            return schema
        schema[keyword] = self._value(keyword, depth, inner)
        if keyword in ("exclusiveMinimum", "exclusiveMaximum") and self._draft.name == "4":
            schema[keyword] = self._rng.random() < 0.8
            schema.setdefault(keyword.replace("exclusiveM", "m"), self._number())
        companion = COMPANIONS.get(keyword)
        if companion is not None and companion not in schema and self._rng.random() < 0.85:
            if keyword == "additionalItems":
                schema["items"] = self._list(depth - 1, 1, 2)
            else:
                self._with(companion, schema, depth)
        return schema

    def _number(self) -> float:
        rng = self._rng
        return rng.choice(BIG_NUMBERS) if rng.random() < 0.06 else rng.choice(NUMBERS)

    def _names(self, least: int, most: int) -> list[str]:
        return self._rng.sample(NAMES, self._rng.randint(least, most))

    def _list(self, depth: int, least: int, most: int, inner: Any = None) -> list[Any]:
        members = [self._schema(depth) for _ in range(self._rng.randint(least, most))]
        if inner is not None:
            members[self._rng.randrange(len(members))] = inner
        return members

    def _map(self, names: Sequence[str], depth: int, inner: Any) -> dict[str, Any]:
        return dict(zip(names, self._list(depth, len(names), len(names), inner), strict=True))

    def _json(self, depth: int) -> Any:
        return random_json(self._rng, depth)

    def _value(self, keyword: str, depth: int, inner: Any) -> Any:
        rng = self._rng
        below = depth - 1

        def sub() -> Any:
            return self._schema(below) if inner is None else inner

        def items() -> Any:
            if self._draft.tuple_keyword == "items" and rng.random() < 0.35:
                return self._list(below, 1, 2, inner)
            return sub()

        def dependencies() -> dict[str, Any]:
            names = self._names(1, 2)
            if inner is None and rng.random() < 0.5:
                return {name: self._names(1, 2) for name in names}
            return self._map(names, below, inner)

        def types() -> Any:
            return rng.choice(TYPES) if rng.random() < 0.7 else rng.sample(TYPES, rng.randint(2, 3))

        makers: dict[str, Callable[[], Any]] = {
            "type": types,
            "enum": lambda: [self._json(2) for _ in range(rng.randint(1, 4))],
            "const": lambda: self._json(2),
            "minLength": lambda: rng.choice([0, 1, 2, 3, 5, 30]),
            "maxLength": lambda: rng.choice([0, 1, 2, 3, 5, 30]),
            "pattern": lambda: rng.choice(PATTERNS).ecma,
            "format": lambda: rng.choice(sorted(FORMATS)),
            "minimum": self._number,
            "maximum": self._number,
            "exclusiveMinimum": self._number,
            "exclusiveMaximum": self._number,
            "multipleOf": lambda: rng.choice([1, 2, 3, 0.5, 0.1, 0.25, 7, 1.5, 10]),
            "required": lambda: self._names(1, 3),
            "minProperties": lambda: rng.choice([0, 1, 1, 2, 3]),
            "maxProperties": lambda: rng.choice([0, 1, 2, 2, 3]),
            "minItems": lambda: rng.choice([0, 1, 2, 3]),
            "maxItems": lambda: rng.choice([0, 1, 2, 3, 4]),
            "uniqueItems": lambda: rng.random() < 0.85,
            "properties": lambda: self._map(self._names(1, 4), below, inner),
            "patternProperties": lambda: self._map(
                [case.ecma for case in rng.sample(PATTERNS, rng.randint(1, 2))], below, inner
            ),
            "additionalProperties": lambda: inner if inner is not None else rng.choice([False, False, sub()]),
            "propertyNames": sub,
            "items": items,
            "prefixItems": lambda: self._list(below, 1, 3, inner),
            "additionalItems": lambda: inner if inner is not None else rng.choice([False, sub()]),
            "contains": sub,
            "minContains": lambda: rng.choice([0, 1, 2]),
            "maxContains": lambda: rng.choice([0, 1, 2, 3]),
            "allOf": lambda: self._list(below, 1, 3, inner),
            "anyOf": lambda: self._list(below, 1, 3, inner),
            "oneOf": lambda: self._list(below, 1, 3, inner),
            "not": sub,
            "if": sub,
            "then": sub,
            "else": sub,
            "dependencies": dependencies,
            "dependentRequired": lambda: {name: self._names(1, 2) for name in self._names(1, 2)},
            "dependentSchemas": lambda: self._map(self._names(1, 2), below, inner),
            "unevaluatedProperties": lambda: inner if inner is not None else rng.choice([False, False, sub()]),
            "unevaluatedItems": lambda: inner if inner is not None else rng.choice([False, False, sub()]),
            "$ref": self._reference,
        }
        return makers[keyword]()

    def _reference(self) -> str:
        if not self._definitions or self._rng.random() < 0.15:
            return "#"
        return f"#/{self._draft.definitions}/{self._rng.choice(self._definitions)}"


def random_json(rng: random.Random, depth: int) -> Any:
    """A JSON value; containers are small."""
    kind = rng.random()
    if depth == 0 or kind < 0.6:
        scalars: tuple[Any, ...] = (None, True, False, rng.choice(NUMBERS), rng.choice(NUMBERS), rng.choice(SAMPLES))
        return rng.choice((*scalars, rng.choice(SAMPLES), rng.choice(NAMES)))
    if kind < 0.8:
        return {name: random_json(rng, depth - 1) for name in rng.sample(NAMES, rng.randint(0, 3))}
    return [random_json(rng, depth - 1) for _ in range(rng.randint(0, 3))]


def subschemas(schema: Any) -> list[dict[str, Any]]:
    """The schema's objects at every place where a schema may stand, itself included."""
    found: list[dict[str, Any]] = []
    todo = [schema]
    while todo:
        one = todo.pop()
        if not isinstance(one, dict):
            continue
        found.append(one)
        todo += children(one)
    return found


def children(schema: dict[str, Any]) -> list[Any]:
    """The subschemas right below a schema."""
    out: list[Any] = []
    for keyword, value in schema.items():
        if keyword in ("properties", "patternProperties", "dependentSchemas", "dependencies", "$defs", "definitions"):
            out += value.values()
        elif keyword in ("allOf", "anyOf", "oneOf", "prefixItems") or (keyword == "items" and isinstance(value, list)):
            out += value
        elif keyword in APPLICATORS:
            out.append(value)
    return out


def patterns_of(schema: Any) -> list[Any]:
    """All patterns that a schema mentions."""
    out: list[Any] = []
    for part in subschemas(schema):
        out += [part["pattern"]] if "pattern" in part else []
        out += part.get("patternProperties", ())
    return out
