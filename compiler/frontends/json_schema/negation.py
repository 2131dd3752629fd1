"""The negation of a schema, as another schema: one level at a time, in negation normal form.

A schema is the conjunction of its keywords, so its negation is the disjunction of theirs:

    ¬type T          = any other type                         ¬minimum m       = a number below m
    ¬required {p, …} = an object without p, or without …      ¬properties p: S = an object in which p has ¬S
    ¬items S         = an array in which some item has ¬S     ¬additionalProperties S = … some other property has ¬S
    ¬allOf = some ¬  ¬anyOf = all ¬  ¬oneOf = all ¬, or two at once  ¬not S = S  ¬$ref = ¬ of its target

``not`` below is kept as a keyword inside the result and taken apart when it is reached, so recursive schemas can be
negated. ``uniqueItems`` cannot be negated here; ``scan.py`` refuses it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import combinations
from typing import Any

from grammar_engine.compiler.frontends.json_schema.dialects import Dialect
from grammar_engine.compiler.frontends.json_schema.internal import Internal
from grammar_engine.compiler.frontends.json_schema.json_types import (
    ARRAY,
    EVERY_TYPE,
    FRACTION,
    INTEGER,
    OBJECT,
    STRING,
    TYPE_BITS,
)
from grammar_engine.compiler.frontends.json_schema.references import Schema

_NUMBER = INTEGER | FRACTION
_UNEVALUATED = frozenset(("unevaluatedProperties", "unevaluatedItems"))

Failures = Callable[[dict[Any, Any], str], list[Schema]]


def negated(schema: Schema) -> dict[Any, Any]:
    """The schema ``not: schema``."""
    return {"not": schema}


class Negation:
    """Negates the schemas of one document, each once."""

    def __init__(self, dialect: Dialect, targets: Mapping[int, Schema], unevaluated: Failures) -> None:
        """unevaluated: where a schema's unevaluatedProperties or unevaluatedItems fails (``unevaluated.py``)."""
        self._dialect = dialect
        self._unevaluated = unevaluated
        self._targets = targets
        self._rules = _rules_of(dialect)
        self._absent: dict[str, Schema] = {}
        self._done: dict[int, tuple[Schema, Schema]] = {}  # the first schema is kept so that its id stays its own

    def of(self, schema: Schema) -> Schema:
        """A schema that holds exactly where ``schema`` does not."""
        if isinstance(schema, bool):
            return not schema
        known = self._done.get(id(schema))
        if known is None:
            known = self._done[id(schema)] = (schema, self._negate(schema))
        return known[1]

    def _negate(self, schema: dict[Any, Any]) -> Schema:
        branches: list[Schema] = []
        if "$ref" in schema:
            branches.append(negated(self._targets[id(schema)]))
            if self._dialect.ref_overrides:
                return branches[0]
        for keyword, value in schema.items():
            if isinstance(keyword, Internal):
                branches += _INTERNAL[keyword](value)
                continue
            rule = self._rules.get(keyword)
            if rule is not None:
                branches += rule(value, schema, self._dialect)
            elif keyword in _UNEVALUATED and keyword in self._dialect.keywords:
                branches += self._unevaluated(schema, keyword)
        branches = [self._shared(branch) for branch in branches if branch is not False]
        if not branches:
            return False
        return branches[0] if len(branches) == 1 else {"anyOf": branches}

    def _shared(self, branch: Schema) -> Schema:
        """One schema for "an object without p", so that a choice which it decides is seen to be decided."""
        properties = branch.get("properties") if isinstance(branch, dict) else None
        if properties is None or len(branch) != 2 or list(properties.values()) != [False]:  # type: ignore[arg-type]
            return branch
        return self._absent.setdefault(next(iter(properties)), branch)


# -- one rule per keyword: the branches of its negation ---------------------------------------------------------------

Rule = Callable[[Any, dict[Any, Any], Dialect], list[Schema]]


def _types(bits: int, **keywords: Any) -> dict[Any, Any]:
    return {Internal.TYPES: bits, **keywords}


def _type(value: Any, _schema: dict[Any, Any], _dialect: Dialect) -> list[Schema]:
    names = [value] if isinstance(value, str) else value
    bits = 0
    for name in names:
        bits |= TYPE_BITS[name]
    return [_types(EVERY_TYPE & ~bits)]


def _enum(value: Any, _schema: dict[Any, Any], _dialect: Dialect) -> list[Schema]:
    """All of: the type is no value's, or the value is another one of that type."""
    members: list[Schema] = []
    bits = EVERY_TYPE
    strings: list[str] = []
    for member in value:
        if member is None:
            bits &= ~1
        elif isinstance(member, bool):
            bits &= ~(2 if member else 4)
        elif isinstance(member, str):
            strings.append(member)
        elif isinstance(member, int | float):
            others = [_types(EVERY_TYPE & ~_NUMBER), {"exclusiveMinimum": member}, {"exclusiveMaximum": member}]
            members.append({"anyOf": others})
        else:
            members.append(negated(_as_schema(member)))
    whole: dict[Any, Any] = {Internal.TYPES: bits}
    if strings:
        whole[Internal.EXCLUDED] = tuple(strings)
    if members:
        whole["allOf"] = members
    return [whole]


def _as_schema(value: Any) -> Schema:
    """A schema without enum and const at its top that holds for exactly this object or array."""
    if isinstance(value, dict):
        properties = {name: {"enum": [member]} for name, member in value.items()}
        return {"type": "object", "required": list(value), "properties": properties, "additionalProperties": False}
    items = [{"enum": [member]} for member in value]
    return {"type": "array", "minItems": len(items), "maxItems": len(items), Internal.PREFIX_AND_REST: (items, True)}


def _const(value: Any, schema: dict[Any, Any], dialect: Dialect) -> list[Schema]:
    return _enum([value], schema, dialect)


def _least(type_bits: int, opposite: str) -> Rule:
    """For ``minX`` n: fewer than n."""
    return lambda value, _schema, _dialect: [_types(type_bits, **{opposite: int(value) - 1})] if value >= 1 else []


def _most(type_bits: int, opposite: str) -> Rule:
    """For ``maxX`` n: more than n."""
    return lambda value, _schema, _dialect: [_types(type_bits, **{opposite: int(value) + 1})]


def _pattern(value: Any, _schema: dict[Any, Any], _dialect: Dialect) -> list[Schema]:
    return [{Internal.TYPES: STRING, Internal.NOT_PATTERN: value}]


def _format(value: Any, _schema: dict[Any, Any], _dialect: Dialect) -> list[Schema]:
    return [{Internal.TYPES: STRING, Internal.NOT_FORMAT: value}]


def _minimum(value: Any, schema: dict[Any, Any], _dialect: Dialect) -> list[Schema]:
    if schema.get("exclusiveMinimum") is True:
        return [_types(_NUMBER, maximum=value)]
    return [_types(_NUMBER, exclusiveMaximum=value)]


def _maximum(value: Any, schema: dict[Any, Any], _dialect: Dialect) -> list[Schema]:
    if schema.get("exclusiveMaximum") is True:
        return [_types(_NUMBER, minimum=value)]
    return [_types(_NUMBER, exclusiveMinimum=value)]


def _exclusive_minimum(value: Any, _schema: dict[Any, Any], _dialect: Dialect) -> list[Schema]:
    return [] if isinstance(value, bool) else [_types(_NUMBER, maximum=value)]


def _exclusive_maximum(value: Any, _schema: dict[Any, Any], _dialect: Dialect) -> list[Schema]:
    return [] if isinstance(value, bool) else [_types(_NUMBER, minimum=value)]


def _multiple(value: Any, _schema: dict[Any, Any], _dialect: Dialect) -> list[Schema]:
    return [{Internal.TYPES: _NUMBER, Internal.NOT_MULTIPLE: value}]


def _required(value: Any, _schema: dict[Any, Any], _dialect: Dialect) -> list[Schema]:
    return [_types(OBJECT, properties={name: False}) for name in dict.fromkeys(value)]


def _properties(value: Any, _schema: dict[Any, Any], _dialect: Dialect) -> list[Schema]:
    return [
        _types(OBJECT, required=[name], properties={name: negated(member)})
        for name, member in value.items()
        if member is not True
    ]


def _some_property(which: tuple[str, Any], member: Schema) -> dict[Any, Any]:
    return {Internal.TYPES: OBJECT, Internal.SOME_PROPERTY: (which, negated(member))}


def _pattern_properties(value: Any, _schema: dict[Any, Any], _dialect: Dialect) -> list[Schema]:
    return [_some_property(("matching", pattern), member) for pattern, member in value.items() if member is not True]


def _additional_properties(value: Any, schema: dict[Any, Any], _dialect: Dialect) -> list[Schema]:
    declared = (tuple(schema.get("properties", ())), tuple(schema.get("patternProperties", ())))
    return [] if value is True else [_some_property(("outside", declared), value)]


def _property_names(value: Any, _schema: dict[Any, Any], _dialect: Dialect) -> list[Schema]:
    return [{Internal.TYPES: OBJECT, Internal.SOME_PROPERTY: (("named", negated(value)), True)}]


def _items(value: Any, schema: dict[Any, Any], dialect: Dialect) -> list[Schema]:
    if isinstance(value, list):
        return _prefix_items(value, schema, dialect)
    start = 0 if dialect.items_array else len(schema.get("prefixItems", ()))
    return [] if value is True else [_some_item(start, value)]


def _prefix_items(value: Any, _schema: dict[Any, Any], _dialect: Dialect) -> list[Schema]:
    return [
        {
            Internal.TYPES: ARRAY,
            "minItems": index + 1,
            Internal.PREFIX_AND_REST: ([True] * index + [negated(item)], True),
        }
        for index, item in enumerate(value)
        if item is not True
    ]


def _additional_items(value: Any, schema: dict[Any, Any], _dialect: Dialect) -> list[Schema]:
    items = schema.get("items")
    return [_some_item(len(items), value)] if isinstance(items, list) and value is not True else []


def _some_item(start: int, item: Schema) -> dict[Any, Any]:
    return {Internal.TYPES: ARRAY, Internal.SOME_ITEM: (start, negated(item), 1, None)}


def _contains(value: Any, schema: dict[Any, Any], dialect: Dialect) -> list[Schema]:
    least, most = contains_bounds(schema, dialect)
    branches: list[Schema] = []
    if least == 1:
        branches.append({Internal.TYPES: ARRAY, Internal.PREFIX_AND_REST: ([], negated(value))})
    elif least > 1:
        branches.append({Internal.TYPES: ARRAY, Internal.SOME_ITEM: (0, value, 0, least - 1)})
    if most is not None:
        branches.append({Internal.TYPES: ARRAY, Internal.SOME_ITEM: (0, value, most + 1, None)})
    return branches


def contains_bounds(schema: Mapping[Any, Any], dialect: Dialect) -> tuple[int, int | None]:
    """How many items ``contains`` asks for, at least and at most."""
    least, most = 1, None
    if "minContains" in dialect.keywords:
        least = int(schema.get("minContains", 1))
        most = None if "maxContains" not in schema else int(schema["maxContains"])
    return least, most


def _all_of(value: Any, _schema: dict[Any, Any], _dialect: Dialect) -> list[Schema]:
    return [negated(member) for member in value]


def _any_of(value: Any, _schema: dict[Any, Any], _dialect: Dialect) -> list[Schema]:
    return [{"allOf": [negated(member) for member in value]}]


def _one_of(value: Any, _schema: dict[Any, Any], _dialect: Dialect) -> list[Schema]:
    none: Schema = {"allOf": [negated(member) for member in value]}
    return [none, *({"allOf": [left, right]} for left, right in combinations(value, 2))]


def _not(value: Any, _schema: dict[Any, Any], _dialect: Dialect) -> list[Schema]:
    return [value]


def _if(value: Any, schema: dict[Any, Any], _dialect: Dialect) -> list[Schema]:
    branches: list[Schema] = []
    if "then" in schema:
        branches.append({"allOf": [value, negated(schema["then"])]})
    if "else" in schema:
        branches.append({"allOf": [negated(value), negated(schema["else"])]})
    return branches


def _dependencies(value: Any, _schema: dict[Any, Any], _dialect: Dialect) -> list[Schema]:
    """A dependency fails where the name stands and what it asks for does not hold."""
    return [
        _types(OBJECT, required=[name], allOf=[negated({"required": asked} if isinstance(asked, list) else asked)])
        for name, asked in value.items()
        if asked != []
    ]


_RULES: Mapping[str, Rule] = {
    "type": _type,
    "enum": _enum,
    "const": _const,
    "minLength": _least(STRING, "maxLength"),
    "maxLength": _most(STRING, "minLength"),
    "pattern": _pattern,
    "format": _format,
    "minimum": _minimum,
    "maximum": _maximum,
    "exclusiveMinimum": _exclusive_minimum,
    "exclusiveMaximum": _exclusive_maximum,
    "multipleOf": _multiple,
    "required": _required,
    "properties": _properties,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "propertyNames": _property_names,
    "minProperties": _least(OBJECT, "maxProperties"),
    "maxProperties": _most(OBJECT, "minProperties"),
    "items": _items,
    "prefixItems": _prefix_items,
    "additionalItems": _additional_items,
    "minItems": _least(ARRAY, "maxItems"),
    "maxItems": _most(ARRAY, "minItems"),
    "contains": _contains,
    "allOf": _all_of,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "not": _not,
    "if": _if,
    "dependencies": _dependencies,
    "dependentRequired": _dependencies,
    "dependentSchemas": _dependencies,
}


@lru_cache(maxsize=16)
def _rules_of(dialect: Dialect) -> Mapping[str, Rule]:
    return {name: rule for name, rule in _RULES.items() if name in dialect.keywords}


# Negations of negations: only what ``_as_schema`` builds can be met under a second ``not``; the rest is a result of
# this module, whose ``not`` was taken apart before.
_INTERNAL: Mapping[Internal, Callable[[Any], list[Schema]]] = {
    Internal.PREFIX_AND_REST: lambda value: [
        {
            Internal.TYPES: ARRAY,
            "minItems": index + 1,
            Internal.PREFIX_AND_REST: ([True] * index + [negated(item)], True),
        }
        for index, item in enumerate(value[0])
    ],
}
