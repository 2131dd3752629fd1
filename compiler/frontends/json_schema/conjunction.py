"""Formulas and their normal form: what a value must satisfy, as a disjunction of records sorted by JSON type.

A **formula** is a conjunction of subschemas of the document, interned: the same set of subschemas is the same integer,
however it was reached. Its normal form is a tuple of ``Conjunct``: each holds every constraint that applies to a value,
sorted by the type it speaks of, so that ``properties`` beside ``type: string`` says nothing, as the standard has it.

    normal form of a set of schemas:
        add every keyword of every schema to one conjunct; $ref and allOf add their schemas to the set
        each anyOf left over multiplies: one copy of the conjunct per branch
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from grammar_engine.compiler.errors import LimitExceededError
from grammar_engine.compiler.frontends.json_schema.dialects import Dialect
from grammar_engine.compiler.frontends.json_schema.references import Schema

Formula = int
ANYTHING: Formula = 0

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

MAX_DISJUNCTS = 4096

Number = int | float


class Conjunct:
    """Everything that a value must satisfy, sorted by type. Mutable while it is built, then left alone.

    types: the types that are left, as bits. values: the values that ``enum`` and ``const`` leave, or None.
    patterns, formats: of strings. lower/upper: (bound, exclusive). multiples: of numbers.
    object_layers, array_layers: schemas whose ``properties`` or ``items`` all apply. required: names, in order.
    """

    __slots__ = (
        "array_layers",
        "choices",
        "formats",
        "lower",
        "max_items",
        "max_length",
        "min_items",
        "min_length",
        "multiples",
        "object_layers",
        "patterns",
        "required",
        "schemas",
        "types",
        "upper",
        "values",
    )

    def __init__(self) -> None:
        self.types = EVERY_TYPE
        self.values: list[object] | None = None
        self.min_length, self.max_length = 0, None  # type: int, int | None
        self.patterns: tuple[str, ...] = ()
        self.formats: tuple[str, ...] = ()
        self.lower: tuple[Number, bool] | None = None
        self.upper: tuple[Number, bool] | None = None
        self.multiples: tuple[Number, ...] = ()
        self.object_layers: tuple[dict[str, object], ...] = ()
        self.required: tuple[str, ...] = ()
        self.array_layers: tuple[dict[str, object], ...] = ()
        self.min_items, self.max_items = 0, None  # type: int, int | None
        self.schemas: set[int] = set()  # identities of the schemas already in
        self.choices: tuple[list[Schema], ...] = ()

    def copy(self) -> Conjunct:
        """A conjunct that can go its own way."""
        other = Conjunct.__new__(Conjunct)
        for name in Conjunct.__slots__:
            setattr(other, name, getattr(self, name))
        other.schemas = set(self.schemas)
        return other


class Formulas:
    """The interned conjunctions of subschemas of one document, and their normal forms."""

    def __init__(self, dialect: Dialect, targets: Mapping[int, Schema]) -> None:
        self._dialect = dialect
        self._targets = targets
        self._handles: dict[object, int] = {}
        self._schemas: list[dict[str, object]] = []
        self._formulas: dict[tuple[int, ...], Formula] = {(): ANYTHING}
        self._members: list[tuple[int, ...]] = [()]
        self._normal: dict[Formula, tuple[Conjunct, ...]] = {}
        self._keywords = {k: add for k, add in _KEYWORDS.items() if k in dialect.keywords}
        self._says_something = frozenset(self._keywords) | {"$ref", "allOf", "anyOf"}

    def of(self, schemas: Iterable[Schema]) -> Formula | None:
        """The formula of a conjunction; None if a member is plainly false."""
        handles: list[int] = []
        for schema in schemas:
            if schema is True:
                continue
            if schema is False:
                return None
            handle = self._handle(schema)  # type: ignore[arg-type]
            if handle >= 0 and handle not in handles:
                handles.append(handle)
        if len(handles) > 1:
            handles.sort()
        key = tuple(handles)
        formula = self._formulas.get(key)
        if formula is None:
            formula = self._formulas[key] = len(self._members)
            self._members.append(key)
        return formula

    def _handle(self, schema: dict[str, object]) -> int:
        """A number for a schema, the same for two that say the same of one type and nothing else; −1: says nothing."""
        handle = self._handles.get(id(schema))
        if handle is not None:
            return handle
        keywords = self._says_something.intersection(schema)
        if not keywords:
            handle = -1
        elif len(keywords) == 1 and "type" in schema and isinstance(schema["type"], str):
            handle = self._handles.get(schema["type"], -2)
            if handle < 0:
                handle = self._handles[schema["type"]] = len(self._schemas)
                self._schemas.append(schema)
        else:
            handle = len(self._schemas)
            self._schemas.append(schema)
        self._handles[id(schema)] = handle
        return handle

    def schemas(self, formula: Formula) -> list[dict[str, object]]:
        """The members of a formula."""
        return [self._schemas[handle] for handle in self._members[formula]]

    def target(self, schema: dict[str, object]) -> Schema:
        """What the ``$ref`` of a schema names."""
        return self._targets[id(schema)]

    def normal(self, formula: Formula) -> tuple[Conjunct, ...]:
        """The normal form. Constraints are collected, not yet weighed: a conjunct may still be unsatisfiable."""
        found = self._normal.get(formula)
        if found is None:
            out: list[Conjunct] = []
            self._expand(Conjunct(), list(self.schemas(formula)[::-1]), out)
            found = self._normal[formula] = tuple(out)
        return found

    def _expand(self, conjunct: Conjunct, todo: list[Schema], out: list[Conjunct]) -> None:
        keywords = self._keywords
        overrides = self._dialect.ref_overrides
        while todo:
            schema = todo.pop()
            if schema is True:
                continue
            if schema is False:
                return
            assert isinstance(schema, dict)
            if id(schema) in conjunct.schemas:
                continue
            conjunct.schemas.add(id(schema))
            later: list[Schema] = []
            if "$ref" in schema:
                later.append(self._targets[id(schema)])
                if overrides:
                    todo += later
                    continue
            for keyword, value in schema.items():
                add = keywords.get(keyword)
                if add is not None:
                    add(conjunct, value, schema)
            if "allOf" in schema:
                later += schema["allOf"]  # type: ignore[arg-type]
            if "anyOf" in schema:
                conjunct.choices += (schema["anyOf"],)  # type: ignore[assignment]
            if not conjunct.types:
                return
            todo += later[::-1]
        if conjunct.choices:
            choice, *rest = conjunct.choices
            conjunct.choices = tuple(rest)
            for branch in choice:
                self._expand(conjunct.copy(), [branch], out)
        else:
            if len(out) >= MAX_DISJUNCTS:
                raise LimitExceededError(
                    "alternatives of one value, multiplied out", limit=str(MAX_DISJUNCTS), given="more"
                )
            out.append(conjunct)


# -- how a keyword adds to a conjunct ---------------------------------------------------------------------------------


def _type(c: Conjunct, value: object, schema: dict[str, object]) -> None:
    if isinstance(value, str):
        c.types &= TYPE_BITS[value]
    else:
        bits = 0
        for name in value:  # type: ignore[attr-defined]
            bits |= TYPE_BITS[name]
        c.types &= bits


def _enum(c: Conjunct, value: object, schema: dict[str, object]) -> None:
    values: list[object] = value  # type: ignore[assignment]
    if c.values is None:
        c.values = values
    else:
        allowed = {identity(v) for v in values}
        c.values = [v for v in c.values if identity(v) in allowed]


def _const(c: Conjunct, value: object, schema: dict[str, object]) -> None:
    _enum(c, [value], schema)


def _min_length(c: Conjunct, value: object, schema: dict[str, object]) -> None:
    c.min_length = max(c.min_length, int(value))  # type: ignore[call-overload]


def _max_length(c: Conjunct, value: object, schema: dict[str, object]) -> None:
    c.max_length = _smaller(c.max_length, int(value))  # type: ignore[call-overload]


def _pattern(c: Conjunct, value: object, schema: dict[str, object]) -> None:
    if value not in c.patterns:
        c.patterns += (value,)  # type: ignore[assignment]


def _format(c: Conjunct, value: object, schema: dict[str, object]) -> None:
    if value not in c.formats:
        c.formats += (value,)  # type: ignore[assignment]


def _raise_lower(c: Conjunct, bound: Number, exclusive: bool) -> None:
    if c.lower is None or (bound, exclusive) > c.lower:
        c.lower = (bound, exclusive)


def _drop_upper(c: Conjunct, bound: Number, exclusive: bool) -> None:
    if c.upper is None or (-bound, exclusive) > (-c.upper[0], c.upper[1]):
        c.upper = (bound, exclusive)


def _minimum(c: Conjunct, value: object, schema: dict[str, object]) -> None:
    _raise_lower(c, value, schema.get("exclusiveMinimum") is True)  # type: ignore[arg-type]


def _maximum(c: Conjunct, value: object, schema: dict[str, object]) -> None:
    _drop_upper(c, value, schema.get("exclusiveMaximum") is True)  # type: ignore[arg-type]


def _exclusive_minimum(c: Conjunct, value: object, schema: dict[str, object]) -> None:
    if not isinstance(value, bool):  # draft 4's flag is read with ``minimum``
        _raise_lower(c, value, True)  # type: ignore[arg-type]


def _exclusive_maximum(c: Conjunct, value: object, schema: dict[str, object]) -> None:
    if not isinstance(value, bool):
        _drop_upper(c, value, True)  # type: ignore[arg-type]


def _multiple(c: Conjunct, value: object, schema: dict[str, object]) -> None:
    if value not in c.multiples:
        c.multiples += (value,)  # type: ignore[assignment]


def _object_layer(c: Conjunct, value: object, schema: dict[str, object]) -> None:
    if not c.object_layers or c.object_layers[-1] is not schema:
        c.object_layers += (schema,)


def _required(c: Conjunct, value: object, schema: dict[str, object]) -> None:
    names: list[str] = value  # type: ignore[assignment]
    c.required = tuple(dict.fromkeys((*c.required, *names)))


def _array_layer(c: Conjunct, value: object, schema: dict[str, object]) -> None:
    if not c.array_layers or c.array_layers[-1] is not schema:
        c.array_layers += (schema,)


def _min_items(c: Conjunct, value: object, schema: dict[str, object]) -> None:
    c.min_items = max(c.min_items, int(value))  # type: ignore[call-overload]


def _max_items(c: Conjunct, value: object, schema: dict[str, object]) -> None:
    c.max_items = _smaller(c.max_items, int(value))  # type: ignore[call-overload]


def _smaller(left: int | None, right: int) -> int:
    return right if left is None else min(left, right)


def identity(value: object) -> object:
    """A hashable that is equal for equal JSON values: 1 is 1.0, but true is not 1."""
    if isinstance(value, bool) or value is None:
        return ("literal", value)
    if isinstance(value, list):
        return ("array", *map(identity, value))
    if isinstance(value, dict):
        return ("object", frozenset((name, identity(member)) for name, member in value.items()))
    return value


_KEYWORDS: dict[str, Callable[[Conjunct, object, dict[str, object]], None]] = {
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
    "items": _array_layer,
    "prefixItems": _array_layer,
    "additionalItems": _array_layer,
    "minItems": _min_items,
    "maxItems": _max_items,
}
