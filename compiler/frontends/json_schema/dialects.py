"""The drafts of JSON Schema, told apart by ``$schema``, and what differs between them.

A keyword that a draft does not know is an annotation there, as each draft says. A metaschema that the caller passes may
leave vocabularies of its draft out (2020-12 core, §8.1); their keywords are annotations then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urldefrag

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
    plain_integers: bool = False  # draft 4 (core, §3.5): an integer is a number without fraction or exponent
    partial: bool = False  # a metaschema of the caller's leaves vocabularies of the draft out


DRAFT_4 = Dialect(
    name="draft-04",
    keywords=_CORE | {"dependencies", "additionalItems"},
    id_keyword="id",
    ref_overrides=True,
    boolean_exclusive=True,
    plain_integers=True,
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

_VALIDATION = frozenset(
    [
        "type",
        "enum",
        "const",
        "multipleOf",
        "maximum",
        "exclusiveMaximum",
        "minimum",
        "exclusiveMinimum",
        "maxLength",
        "minLength",
        "pattern",
        "maxItems",
        "minItems",
        "uniqueItems",
        "maxContains",
        "minContains",
        "maxProperties",
        "minProperties",
        "required",
        "dependentRequired",
    ]
)
_REFERENCES = frozenset(("$ref", "$dynamicRef", "$recursiveRef"))
_FORMAT = frozenset(("format",))
_UNEVALUATED = frozenset(("unevaluatedItems", "unevaluatedProperties"))
_VOCABULARIES = {
    "2019-09/vocab/core": _REFERENCES,
    "2019-09/vocab/applicator": DRAFT_2019.keywords - _VALIDATION - _REFERENCES - _FORMAT,
    "2019-09/vocab/validation": _VALIDATION,
    "2019-09/vocab/format": _FORMAT,
    "2019-09/vocab/meta-data": frozenset[str](),
    "2019-09/vocab/content": frozenset[str](),
    "2020-12/vocab/core": _REFERENCES,
    "2020-12/vocab/applicator": DRAFT_2020.keywords - _VALIDATION - _REFERENCES - _FORMAT - _UNEVALUATED,
    "2020-12/vocab/unevaluated": _UNEVALUATED,
    "2020-12/vocab/validation": _VALIDATION,
    "2020-12/vocab/format-annotation": _FORMAT,
    "2020-12/vocab/format-assertion": _FORMAT,
    "2020-12/vocab/meta-data": frozenset[str](),
    "2020-12/vocab/content": frozenset[str](),
}
_VOCABULARY_BASE = "https://json-schema.org/draft/"


class Dialects:
    """The drafts by their URIs, and the dialects that metaschemas among the caller's documents define.

    Such a metaschema is read for its ``$schema`` and its ``$vocabulary`` only: keywords of a vocabulary that it leaves
    out are annotations. Other conditions that it puts on schemas are not checked.
    """

    def __init__(self, documents: Mapping[str, object]) -> None:
        self._documents = {urldefrag(uri)[0]: document for uri, document in documents.items()}
        self._custom: dict[str, Dialect | None] = {}

    def of(self, schema: object) -> Dialect:
        """The draft that ``$schema`` names; 2020-12 where it is absent."""
        if not isinstance(schema, dict) or "$schema" not in schema:
            return DRAFT_2020
        uri = schema["$schema"]
        if not isinstance(uri, str):
            raise InvalidSchemaError("$schema is a URI", pointer="/$schema")
        dialect = self.known(uri)
        if dialect is None:
            raise unknown_dialect(uri, "/$schema")
        return dialect

    def known(self, uri: object) -> Dialect | None:
        """The dialect with a URI, if there is one."""
        if not isinstance(uri, str):
            return None
        name = uri.split("#")[0]
        found = _BY_URI.get(name.split("://")[-1].rstrip("/"))
        if found is None and name in self._documents:
            if name not in self._custom:
                self._custom[name] = None  # a metaschema that describes itself, round about, defines nothing
                self._custom[name] = self._define(name, self._documents[name])
            found = self._custom[name]
        return found

    def _define(self, name: str, metaschema: object) -> Dialect | None:
        base = self.known(metaschema.get("$schema", "")) if isinstance(metaschema, dict) else None
        vocabularies = metaschema.get("$vocabulary") if isinstance(metaschema, dict) else None
        if base is None or base.ref_overrides or not isinstance(vocabularies, dict):
            return base
        keywords: frozenset[str] = frozenset()
        for uri, required in vocabularies.items():
            known = _VOCABULARIES.get(uri.removeprefix(_VOCABULARY_BASE))
            if known is None and required:
                raise UnsupportedSchemaError(
                    f"$vocabulary {uri}", pointer="/$schema", advice="The metaschema asks for keywords of its own."
                )
            keywords |= known or frozenset()
        keywords &= base.keywords
        return base if keywords == base.keywords else replace(base, name=name, keywords=keywords, partial=True)


def unknown_dialect(uri: str, pointer: str) -> UnsupportedSchemaError:
    """The error of a ``$schema`` that names no draft."""
    known = ", ".join(sorted(_BY_URI))
    return UnsupportedSchemaError(
        f"$schema {uri}",
        pointer=pointer,
        advice=f"Name one of {known}, or pass the metaschema in documents=, if it is based on one of them.",
    )
