"""Formulas and their normal form: what a value must satisfy, as a disjunction of records sorted by JSON type.

A **formula** is a conjunction of subschemas of the document, interned: the same set of subschemas is the same integer,
however it was reached. Its normal form is a tuple of ``Conjunct``: each holds every constraint that applies to a value,
sorted by the type it speaks of, so that ``properties`` beside ``type: string`` says nothing, as the standard has it.

    normal form of a set of schemas:
        add every keyword of every schema to one conjunct; $ref, allOf and ``not`` (taken one level apart by
        ``negation.py``) add their schemas to the set
        each choice left over (``choices.py``, ``unevaluated.py``) multiplies: one copy of the conjunct per branch

    Branches may overlap: the parser carries both. Before a choice multiplies, branches that the conjunct decides are
    absorbed (``branches.py``), and choices about properties are simplified (``clauses.py``); several choices between
    strings become one formula instead (``text_choices.py``); given values are tried one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import Any

from grammar_engine.compiler.automaton_product import Formula as TextFormula
from grammar_engine.compiler.errors import LimitExceededError
from grammar_engine.compiler.frontends.json_schema.branches import Branches, Exclude
from grammar_engine.compiler.frontends.json_schema.choices import Choices, choosing_keywords
from grammar_engine.compiler.frontends.json_schema.clauses import Clause, Clauses, iterate
from grammar_engine.compiler.frontends.json_schema.dialects import Dialect
from grammar_engine.compiler.frontends.json_schema.internal import Internal
from grammar_engine.compiler.frontends.json_schema.negation import Negation, contains_bounds
from grammar_engine.compiler.frontends.json_schema.object_formulas import ObjectFormulas
from grammar_engine.compiler.frontends.json_schema.references import Schema
from grammar_engine.compiler.frontends.json_schema.text_choices import TextFormulas
from grammar_engine.compiler.frontends.json_schema.unevaluated import KEYWORDS, Unevaluated
from grammar_engine.compiler.limits import MAX_COUNT, Deadline

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

FEW_DISJUNCTS = 24
"""Conjuncts up to which choices are multiplied out in any case, and two for each branch that is written down. More
of them are kept as choices, where they speak of objects (``object_formulas.py``)."""
FEW_TICKS = 2000
"""The same, of schemas looked at on the way; twenty for each branch."""
MAX_DISJUNCTS = 4096
MAX_STEPS = 4 * MAX_DISJUNCTS
"""Conjuncts looked at on the way, those that turn out impossible included."""

_TYPE_ALONE = frozenset(("type",))
_TRUE, _FALSE = -1, -2  # handles of schemas that ask nothing, and that nothing satisfies

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


@lru_cache(maxsize=16)
def _tables(dialect: Dialect) -> tuple[Mapping[Any, Add], tuple[str, ...], frozenset[str], frozenset[Any]]:
    """Of a dialect's keywords: what adds to a conjunct, unevaluated*, what makes choices, and all of them."""
    adding: dict[Any, Add] = {keyword: add for keyword, add in _KEYWORDS.items() if keyword in dialect.keywords}
    adding.update(_INTERNAL)
    looking_around = tuple(keyword for keyword in KEYWORDS if keyword in dialect.keywords)
    choosing = choosing_keywords(dialect).union(looking_around)
    return adding, looking_around, choosing, frozenset(adding) | {"$ref", "allOf", "not", "contains"} | choosing


class _Patience(Enum):
    """How far choices are multiplied out: a few; unless that could change the order of properties; or in no case."""

    SHORT = 0
    LONG = 1
    ENDLESS = 2


class Formulas:
    """The interned conjunctions of subschemas of one document, and their normal forms."""

    def __init__(
        self,
        dialect: Dialect,
        targets: Mapping[int, Schema],
        overlaps: Mapping[int, Sequence[Sequence[int]]],
        exclude: Exclude,
        matches: Callable[[str, str], bool],
        deadline: Deadline,
    ) -> None:
        """targets: schema that each ``$ref`` names; overlaps: per ``oneOf``, the branches that each branch may meet.

        exclude: of ``Disjoint``; matches: does a pattern match a name?
        """
        self._dialect = dialect
        self._targets = targets
        self._deadline = deadline
        self._overlaps = overlaps
        choices = Choices(dialect, overlaps)
        self._choices_of = choices.of
        self.unevaluated = Unevaluated(dialect, targets, choices, exclude, matches)
        self._negation = Negation(dialect, targets, self.unevaluated.failures)
        self._texts = TextFormulas(dialect, targets, overlaps)
        self._made: dict[int, list[list[Schema]]] = {}  # choices made of a schema, kept so that identities last
        self._handles: dict[object, int] = {}
        self._schemas: list[dict[Any, Any]] = []
        self._kept: list[dict[Any, Any]] = []  # an identity stays a schema's own as long as the schema lives
        self._formulas: dict[tuple[int, ...], Formula] = {(): ANYTHING}
        self._members: list[tuple[int, ...]] = [()]
        self._normal: dict[Formula, tuple[Conjunct, ...]] = {}
        self._keywords, self._looking_around, self._choosing, self._says_something = _tables(dialect)
        self._contains = "contains" in dialect.keywords
        self._branches = Branches(dialect, targets, self._negation, exclude, self._says_something, deadline)
        self.objects = ObjectFormulas(dialect, targets, choices, self._negation, self.unevaluated, exclude, deadline)
        self._clauses = Clauses(self._branches, targets, self._says_something, self.unevaluated.made, deadline)

    def of(self, schemas: Iterable[Schema]) -> Formula | None:
        """The formula of a conjunction; None if a member is plainly false."""
        handles: list[int] = []
        for schema in schemas:
            if schema is True or schema == {"not": False}:
                continue
            if schema is False:
                return None
            handle = self._handle(schema)
            if handle == _FALSE:
                return None
            if handle >= 0 and handle not in handles:
                handles.append(handle)
        if len(handles) > 1:
            handles.sort()
        return self._intern(tuple(handles))

    def both(self, left: Formula, right: Formula) -> Formula:
        """The conjunction of two formulas."""
        return self._intern(tuple(sorted({*self._members[left], *self._members[right]})))

    def _intern(self, key: tuple[int, ...]) -> Formula:
        formula = self._formulas.get(key)
        if formula is None:
            formula = self._formulas[key] = len(self._members)
            self._members.append(key)
        return formula

    def _handle(self, schema: dict[Any, Any]) -> int:
        """A number for a schema, the same for two that say the same of one type and nothing else, and for a schema and
        those that do nothing but refer to it; _TRUE: it says nothing; _FALSE: nothing satisfies it.
        """
        handle = self._handles.get(id(schema))
        if handle is not None:
            return handle
        whole: Schema = schema
        keywords = self._says_something.intersection(schema)
        while "$ref" in keywords and (len(keywords) == 1 or self._dialect.ref_overrides):
            whole = self._targets[id(whole)]
            keywords = self._says_something.intersection(whole) if isinstance(whole, dict) else frozenset()
        if isinstance(whole, bool):
            handle = _TRUE if whole else _FALSE
        elif not keywords:
            handle = _TRUE
        elif whole is not schema:
            handle = self._handle(whole)
        else:
            name = schema["type"] if keywords == _TYPE_ALONE and isinstance(schema["type"], str) else id(schema)
            handle = self._handles.setdefault(name, len(self._schemas))
            if handle == len(self._schemas):
                self._schemas.append(schema)
        self._handles[id(schema)] = handle
        self._kept.append(schema)
        return handle

    def schemas(self, formula: Formula) -> list[dict[Any, Any]]:
        """The members of a formula."""
        return [self._schemas[handle] for handle in self._members[formula]]

    def target(self, schema: dict[Any, Any]) -> Schema:
        """What the ``$ref`` of a schema names."""
        return self._targets[id(schema)]

    def normal(self, formula: Formula) -> tuple[Conjunct, ...]:
        """The normal form. Constraints are collected, not yet weighed: a conjunct may still be unsatisfiable."""
        found = self._normal.get(formula)
        if found is None:
            for patience in _Patience:
                out = self._multiplied(list(self.schemas(formula)[::-1]), patience)
                if out is not None:
                    break
            assert out is not None
            found = self._normal[formula] = tuple(out)
        return found

    def _multiplied(self, schemas: list[Schema], patience: _Patience) -> list[Conjunct] | None:
        """The conjuncts of a conjunction, choices multiplied out depth first (a stack: there may be thousands).

        None: they are more than ``patience`` has room for.
        """
        out: list[Conjunct] = []
        stack = [(Conjunct(), schemas)]
        steps = 0
        few, work = FEW_DISJUNCTS, self._deadline.ticks + FEW_TICKS
        while stack:
            self._deadline.tick()
            conjunct, todo = stack.pop()
            if not self._collect(conjunct, todo):
                continue
            steps += 1
            if patience == _Patience.SHORT and (steps > few or self._deadline.ticks > work):
                return None
            if len(out) >= MAX_DISJUNCTS or steps > MAX_STEPS:
                if patience == _Patience.LONG:
                    return None
                raise LimitExceededError(
                    "alternatives of one value, multiplied out", limit=str(MAX_DISJUNCTS), given="more"
                )
            if not conjunct.choices or _is_given(conjunct):
                out.append(conjunct)
                continue
            if steps == 1:
                branches = sum(map(len, conjunct.choices))
                few, work = few + 2 * branches, work + 20 * branches
            clauses = self._open(conjunct)
            if not clauses:
                conjunct.choices = ()
                out.append(conjunct)
            elif len(clauses[0]) == 1:
                single = [clause[0].schema for clause in clauses if len(clause) == 1]
                conjunct.choices = tuple([branch.schema for branch in clause] for clause in clauses[len(single) :])
                stack.append((conjunct, single[::-1]))
            elif patience != _Patience.SHORT and conjunct.types & OBJECT and conjunct.values is None:
                conjunct.choices = tuple([branch.schema for branch in clause] for clause in clauses)
                if conjunct.types != OBJECT:
                    others = conjunct.copy()
                    others.types &= ~OBJECT
                    conjunct.types = OBJECT
                    stack += [(others, []), (conjunct, [])]
                elif patience == _Patience.ENDLESS or self.objects.names(conjunct)[1]:
                    out.append(conjunct)
                else:
                    stack += self._branched(conjunct, clauses)
            else:
                stack += self._branched(conjunct, clauses)
        return out

    def _branched(self, conjunct: Conjunct, clauses: list[Clause]) -> list[tuple[Conjunct, list[Schema]]]:
        """A conjunct for each branch of the first clause, the first on top."""
        following: list[tuple[Conjunct, list[Schema]]] = []
        for schema, left in iterate(clauses[0], clauses[1:]):
            copy = conjunct.copy()
            copy.choices = tuple(left)
            following.append((copy, [schema]))
        return following[::-1]

    def _open(self, conjunct: Conjunct) -> list[Clause]:
        """What is left of a conjunct's choices, as clauses that multiply, the shortest first."""
        found = (self._branches.open(conjunct, choice) for choice in conjunct.choices)
        choices = [branches for branches in found if branches is not None]
        if len(choices) > 1 and conjunct.types == STRING:
            formula = self._texts.choices(choices)
            if formula is not None:
                conjunct.text_choices += (formula,)
                return []
        return self._clauses.reduce(conjunct, choices) if choices else []

    def _collect(self, conjunct: Conjunct, todo: list[Schema]) -> bool:
        """Add schemas, and what they surely apply, to a conjunct; False if nothing can satisfy it any more."""
        keywords = self._keywords
        overrides = self._dialect.ref_overrides
        while todo:
            self._deadline.tick()
            schema = todo.pop()
            if schema is True:
                continue
            if schema is False:
                return False
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
                later += schema["allOf"]
            if "not" in schema:
                later.append(self._negation.of(schema["not"]))
            if self._contains and "contains" in schema:
                conjunct.some_items += ((0, schema["contains"], *contains_bounds(schema, self._dialect)),)
            if not self._choosing.isdisjoint(schema):
                for choice in self._choices(schema):
                    if len(choice) == 1:
                        later += choice
                    else:
                        conjunct.choices += (choice,)
            if not conjunct.types:
                return False
            todo += later[::-1]
        return conjunct.values is None or any(type_bit(value) & conjunct.types for value in conjunct.values)

    def _choices(self, schema: dict[Any, Any]) -> list[list[Schema]]:
        """The choices that a schema's keywords leave open."""
        made = self._made.get(id(schema))
        if made is None:
            made = [self.unevaluated.cases(schema, keyword) for keyword in self._looking_around if keyword in schema]
            made += (choice.branches for choice in self._choices_of(schema))
            self._made[id(schema)] = made
        return made


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


def _is_given(c: Conjunct) -> bool:
    """Are there given values, none of them a string? Each is held against the choices (``productivity.py``) then.

    (Strings may be names, of which automata are made.)
    """
    return c.values is not None and not any(isinstance(value, str) for value in c.values)


def _smaller(left: int | None, right: int) -> int:
    return right if left is None else min(left, right)


def type_bit(value: object) -> int:
    """The type of a JSON value, as a bit."""
    if value is None:
        return NULL
    if isinstance(value, bool):
        return TRUE if value else FALSE
    if isinstance(value, int):
        return INTEGER
    if isinstance(value, float):
        return INTEGER if value.is_integer() else FRACTION
    if isinstance(value, str):
        return STRING
    return ARRAY if isinstance(value, list) else OBJECT


def identity(value: object) -> object:
    """A hashable that is equal for equal JSON values: 1 is 1.0, but true is not 1."""
    if isinstance(value, bool) or value is None:
        return ("literal", value)
    if isinstance(value, list):
        return ("array", *map(identity, value))
    if isinstance(value, dict):
        return ("object", frozenset((name, identity(member)) for name, member in value.items()))
    return value


Add = Callable[[Conjunct, Any, dict[Any, Any]], None]

_INTERNAL: dict[Internal, Add] = {
    Internal.TYPES: _types,
    Internal.EXCLUDED: _excluded,
    Internal.NOT_PATTERN: _not_pattern,
    Internal.NOT_FORMAT: _not_format,
    Internal.NOT_MULTIPLE: _not_multiple,
    Internal.SOME_PROPERTY: _some_property,
    Internal.PREFIX_AND_REST: _prefix_and_rest,
    Internal.SOME_ITEM: _some_item,
}

_KEYWORDS: dict[str, Add] = {
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
