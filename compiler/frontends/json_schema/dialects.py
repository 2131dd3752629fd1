"""The drafts of JSON Schema, told apart by ``$schema``, and what differs between them.

A keyword that a draft does not know is an annotation there, as each draft says.
"""

from __future__ import annotations

from dataclasses import dataclass

from grammar_engine.compiler.errors import InvalidSchemaError, UnsupportedSchemaError

_CORE = frozenset(
    [
        "type",
        "enum",
        "properties",
        "patternProperties",
        "additionalProperties",
        "required",
        "items",
        "minItems",
        "maxItems",
        "uniqueItems",
        "minLength",
        "maxLength",
        "pattern",
        "format",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minProperties",
        "maxProperties",
        "allOf",
        "anyOf",
        "oneOf",
        "not",
        "$ref",
    ]
)
_SIX = _CORE | {"const", "contains", "propertyNames", "dependencies", "additionalItems"}
_SEVEN = _SIX | {"if", "then", "else"}
_MODERN = (_SEVEN - {"dependencies"}) | frozenset(
    ["dependentRequired", "dependentSchemas", "unevaluatedItems", "unevaluatedProperties", "minContains", "maxContains"]
)


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """One draft. ``keywords``: the assertions and applicators that it knows (references to other schemas included)."""

    name: str
    keywords: frozenset[str]
    id_keyword: str = "$id"
    ref_overrides: bool = False  # siblings of $ref are ignored (drafts up to 7 say so)
    items_array: bool = True  # ``items`` may be an array, ``additionalItems`` is the rest
    boolean_exclusive: bool = False  # draft 4: exclusiveMinimum is a flag of minimum


DRAFT_4 = Dialect(
    name="draft-04",
    keywords=_CORE | {"dependencies", "additionalItems"},
    id_keyword="id",
    ref_overrides=True,
    boolean_exclusive=True,
)
DRAFT_6 = Dialect(name="draft-06", keywords=_SIX, ref_overrides=True)
DRAFT_7 = Dialect(name="draft-07", keywords=_SEVEN, ref_overrides=True)
DRAFT_2019 = Dialect(name="2019-09", keywords=_MODERN | {"$recursiveRef"})
DRAFT_2020 = Dialect(
    name="2020-12", keywords=(_MODERN - {"additionalItems"}) | {"prefixItems", "$dynamicRef"}, items_array=False
)

_BY_URI = {
    "json-schema.org/draft-04/schema": DRAFT_4,
    "json-schema.org/draft-06/schema": DRAFT_6,
    "json-schema.org/draft-07/schema": DRAFT_7,
    "json-schema.org/draft/2019-09/schema": DRAFT_2019,
    "json-schema.org/draft/2020-12/schema": DRAFT_2020,
    "json-schema.org/schema": DRAFT_2020,
}


def dialect_of(schema: object) -> Dialect:
    """The draft that ``$schema`` names; 2020-12 where it is absent."""
    if not isinstance(schema, dict) or "$schema" not in schema:
        return DRAFT_2020
    uri = schema["$schema"]
    if not isinstance(uri, str):
        raise InvalidSchemaError("$schema is a URI", pointer="/$schema")
    dialect = _BY_URI.get(uri.split("#")[0].split("://")[-1].rstrip("/"))
    if dialect is None:
        known = ", ".join(sorted(_BY_URI))
        raise UnsupportedSchemaError(f"$schema {uri}", pointer="/$schema", advice=f"Name one of {known}.")
    return dialect
