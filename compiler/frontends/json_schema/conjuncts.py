"""A conjunct: everything that a value must satisfy, sorted by JSON type; and what each keyword adds to one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from grammar_engine.compiler.automaton_product import Formula as TextFormula
from grammar_engine.compiler.errors import LimitExceededError
from grammar_engine.compiler.frontends.json_schema.internal import Internal
from grammar_engine.compiler.frontends.json_schema.json_types import EVERY_TYPE, TYPE_BITS, identity
from grammar_engine.compiler.frontends.json_schema.references import Schema
from grammar_engine.compiler.limits import MAX_COUNT

Number = int | float


class Conjunct:
    """Everything that a value must satisfy, sorted by type. Mutable while it is built, then left alone.

    types: the types that are left, as bits. values: the values that ``enum`` and ``const`` leave, or None.
    patterns, formats: of strings, and with ``not_`` those that must not hold; excluded: strings that it is not.
    text_choices: formulas that hold of a string (``text_choices.py``).
    lower/upper: (bound, exclusive). multiples: of numbers.
    object_layers, array_layers: schemas whose ``properties`` or ``items`` all apply. required: names, in order.
    choices: schemas of which some must hold, per choice; in a finished conjunct only where there are given values, or
    objects whose alternatives are too many to multiply out (``derivatives.py``).
    names: what ``propertyNames`` asks. some_properties, some_items: obligations, see ``internal.py``.
    """

    __slots__ = (
        "array_layers",
        "choices",
        "excluded",
        "formats",
        "lower",
        "max_items",
        "max_length",
        "max_properties",
        "min_items",
        "min_length",
        "min_properties",
        "multiples",
        "names",
        "not_formats",
        "not_multiples",
        "not_patterns",
        "object_layers",
        "patterns",
        "required",
        "schemas",
        "some_items",
        "some_properties",
        "text_choices",
        "types",
        "unique",
        "upper",
        "values",
    )

    def __init__(self) -> None:
        self.types = EVERY_TYPE
        self.values: list[object] | None = None
        self.min_length, self.max_length = 0, None  # type: int, int | None
        self.patterns: tuple[str, ...] = ()
        self.formats: tuple[str, ...] = ()
        self.not_patterns: tuple[str, ...] = ()
        self.not_formats: tuple[str, ...] = ()
        self.excluded: frozenset[str] = frozenset()
        self.text_choices: tuple[TextFormula, ...] = ()
        self.lower: tuple[Number, bool] | None = None
        self.upper: tuple[Number, bool] | None = None
        self.multiples: tuple[Number, ...] = ()
        self.not_multiples: tuple[Number, ...] = ()
        self.object_layers: tuple[dict[Any, Any], ...] = ()
        self.required: tuple[str, ...] = ()
        self.names: tuple[Schema, ...] = ()
        self.min_properties, self.max_properties = 0, None  # type: int, int | None
        self.some_properties: tuple[Any, ...] = ()
        self.array_layers: tuple[Any, ...] = ()
        self.some_items: tuple[Any, ...] = ()
        self.min_items, self.max_items = 0, None  # type: int, int | None
        self.unique = False
        self.schemas: set[int] = set()  # identities of the schemas already in
        self.choices: tuple[list[Schema], ...] = ()

    def copy(self) -> Conjunct:
        """A conjunct that can go its own way."""
        other = Conjunct.__new__(Conjunct)
        for name in Conjunct.__slots__:
            setattr(other, name, getattr(self, name))
        other.schemas = set(self.schemas)
        return other


# -- how a keyword adds to a conjunct ---------------------------------------------------------------------------------


def _type(c: Conjunct, value: Any, _schema: dict[Any, Any]) -> None:
    if isinstance(value, str):
        c.types &= TYPE_BITS[value]
    else:
        bits = 0
        for name in value:
            bits |= TYPE_BITS[name]
        c.types &= bits


def _enum(c: Conjunct, value: Any, _schema: dict[Any, Any]) -> None:
    values: list[object] = value
    if c.values is None:
        c.values = values
    else:
        allowed = {identity(v) for v in values}
        c.values = [v for v in c.values if identity(v) in allowed]


def _const(c: Conjunct, value: Any, schema: dict[Any, Any]) -> None:
    _enum(c, [value], schema)


def _min_length(c: Conjunct, value: Any, _schema: dict[Any, Any]) -> None:
    if value > MAX_COUNT:
        raise LimitExceededError("minLength is too large", limit=f"{MAX_COUNT}", given=value)
    c.min_length = max(c.min_length, int(value))


def _max_length(c: Conjunct, value: Any, _schema: dict[Any, Any]) -> None:
    # Databases write 4294967295 for "no limit". A text of MAX_COUNT characters is longer than any memory's worth.
    c.max_length = _smaller(c.max_length, min(int(value), MAX_COUNT))


def _pattern(c: Conjunct, value: Any, _schema: dict[Any, Any]) -> None:
    if value not in c.patterns:
        c.patterns += (value,)


def _format(c: Conjunct, value: Any, _schema: dict[Any, Any]) -> None:
    if value not in c.formats:
        c.formats += (value,)


def _raise_lower(c: Conjunct, bound: Number, exclusive: bool) -> None:
    if c.lower is None or (bound, exclusive) > c.lower:
        c.lower = (bound, exclusive)


def _drop_upper(c: Conjunct, bound: Number, exclusive: bool) -> None:
    if c.upper is None or (-bound, exclusive) > (-c.upper[0], c.upper[1]):
        c.upper = (bound, exclusive)


def _minimum(c: Conjunct, value: Any, schema: dict[Any, Any]) -> None:
    _raise_lower(c, value, schema.get("exclusiveMinimum") is True)


def _maximum(c: Conjunct, value: Any, schema: dict[Any, Any]) -> None:
    _drop_upper(c, value, schema.get("exclusiveMaximum") is True)


def _exclusive_minimum(c: Conjunct, value: Any, _schema: dict[Any, Any]) -> None:
    if not isinstance(value, bool):  # draft 4's flag is read with ``minimum``
        _raise_lower(c, value, True)


def _exclusive_maximum(c: Conjunct, value: Any, _schema: dict[Any, Any]) -> None:
    if not isinstance(value, bool):
        _drop_upper(c, value, True)


def _multiple(c: Conjunct, value: Any, _schema: dict[Any, Any]) -> None:
    if value not in c.multiples:
        c.multiples += (value,)


def _object_layer(c: Conjunct, _value: Any, schema: dict[Any, Any]) -> None:
    if not c.object_layers or c.object_layers[-1] is not schema:
        c.object_layers += (schema,)


def _required(c: Conjunct, value: Any, _schema: dict[Any, Any]) -> None:
    names: list[str] = value
    c.required = tuple(dict.fromkeys((*c.required, *names)))


def _array_layer(c: Conjunct, _value: Any, schema: dict[Any, Any]) -> None:
    if not c.array_layers or c.array_layers[-1] is not schema:
        c.array_layers += (schema,)


def _min_items(c: Conjunct, value: Any, _schema: dict[Any, Any]) -> None:
    c.min_items = max(c.min_items, int(value))


def _max_items(c: Conjunct, value: Any, _schema: dict[Any, Any]) -> None:
    c.max_items = _smaller(c.max_items, int(value))


def _min_properties(c: Conjunct, value: Any, _schema: dict[Any, Any]) -> None:
    c.min_properties = max(c.min_properties, int(value))


def _max_properties(c: Conjunct, value: Any, _schema: dict[Any, Any]) -> None:
    c.max_properties = _smaller(c.max_properties, int(value))


def _property_names(c: Conjunct, value: Any, _schema: dict[Any, Any]) -> None:
    c.names += (value,)


def _unique_items(c: Conjunct, value: Any, _schema: dict[Any, Any]) -> None:
    c.unique = c.unique or value is True


def _types(c: Conjunct, value: Any, _schema: dict[Any, Any]) -> None:
    c.types &= value


def _excluded(c: Conjunct, value: Any, _schema: dict[Any, Any]) -> None:
    c.excluded |= frozenset(value)


def _not_pattern(c: Conjunct, value: Any, _schema: dict[Any, Any]) -> None:
    if value not in c.not_patterns:
        c.not_patterns += (value,)


def _not_format(c: Conjunct, value: Any, _schema: dict[Any, Any]) -> None:
    if value not in c.not_formats:
        c.not_formats += (value,)


def _not_multiple(c: Conjunct, value: Any, _schema: dict[Any, Any]) -> None:
    if value not in c.not_multiples:
        c.not_multiples += (value,)


def _some_property(c: Conjunct, value: Any, _schema: dict[Any, Any]) -> None:
    c.some_properties += (value,)


def _prefix_and_rest(c: Conjunct, value: Any, _schema: dict[Any, Any]) -> None:
    c.array_layers += (value,)


def _some_item(c: Conjunct, value: Any, _schema: dict[Any, Any]) -> None:
    c.some_items += (value,)


def is_given(c: Conjunct) -> bool:
    """Are there given values, none of them a string? Each is held against the choices (``productivity.py``) then.

    (Strings may be names, of which automata are made.)
    """
    return c.values is not None and not any(isinstance(value, str) for value in c.values)


def _smaller(left: int | None, right: int) -> int:
    return right if left is None else min(left, right)


Add = Callable[[Conjunct, Any, dict[Any, Any]], None]
"""Adds a keyword's value, and perhaps what stands beside it in the schema."""

INTERNAL_ADDS: dict[Internal, Add] = {
    Internal.TYPES: _types,
    Internal.EXCLUDED: _excluded,
    Internal.NOT_PATTERN: _not_pattern,
    Internal.NOT_FORMAT: _not_format,
    Internal.NOT_MULTIPLE: _not_multiple,
    Internal.SOME_PROPERTY: _some_property,
    Internal.PREFIX_AND_REST: _prefix_and_rest,
    Internal.SOME_ITEM: _some_item,
}

KEYWORD_ADDS: dict[str, Add] = {
    "type": _type,
    "enum": _enum,
    "const": _const,
    "minLength": _min_length,
    "maxLength": _max_length,
    "pattern": _pattern,
    "format": _format,
    "minimum": _minimum,
    "maximum": _maximum,
    "exclusiveMinimum": _exclusive_minimum,
    "exclusiveMaximum": _exclusive_maximum,
    "multipleOf": _multiple,
    "properties": _object_layer,
    "patternProperties": _object_layer,
    "additionalProperties": _object_layer,
    "required": _required,
    "propertyNames": _property_names,
    "minProperties": _min_properties,
    "maxProperties": _max_properties,
    "items": _array_layer,
    "prefixItems": _array_layer,
    "additionalItems": _array_layer,
    "minItems": _min_items,
    "maxItems": _max_items,
    "uniqueItems": _unique_items,
}
