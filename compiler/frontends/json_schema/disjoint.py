"""A cheap test that two schemas exclude each other; "no" means only that it could not be shown.

``oneOf`` asks for exactly one branch. Where two branches cannot both hold (other types, another constant under a
required name, a required name that the other forbids) neither needs to be negated against the other, which keeps the
expansion of a discriminated union as small as that of ``anyOf``.

An *outline* is what a schema surely implies, read off its keywords, ``$ref`` and ``allOf``; choices are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import chain, combinations, product
from typing import Any, Protocol

from grammar_engine.compiler.frontends.json_schema.dialects import Dialect
from grammar_engine.compiler.frontends.json_schema.json_types import (
    ARRAY,
    EVERY_TYPE,
    FRACTION,
    INTEGER,
    OBJECT,
    STRING,
    TYPE_BITS,
    identity,
    type_bit,
)
from grammar_engine.compiler.frontends.json_schema.references import Schema
from grammar_engine.compiler.limits import Deadline

_DEPTH = 3
_MAX_VALUES = 1000
_NO_LABELS: Mapping[str | None, Iterable[object]] = {}


class Outline:
    """Types as bits, values as identities (None: any), and what is known of objects, strings, arrays and numbers."""

    __slots__ = (
        "closed",
        "excluded",
        "given",
        "high",
        "items",
        "length",
        "low",
        "patterns",
        "properties",
        "required",
        "types",
        "values",
    )

    def __init__(self) -> None:
        self.types = EVERY_TYPE
        self.values: dict[object, object] | None = None
        self.excluded: set[object] = set()
        self.patterns: tuple[str, ...] = ()
        self.required: dict[str, None] = {}
        self.properties: list[tuple[str, Schema]] = []
        self.given: dict[str, AbstractSet[object]] | None = None  # see ``Disjoint._given``
        self.closed: list[frozenset[str]] = []  # the object has no names but these
        self.length: tuple[float, float] = (0, float("inf"))
        self.items: tuple[float, float] = (0, float("inf"))
        self.low, self.high = float("-inf"), float("inf")

    def is_open(self) -> bool:
        """Is there nothing by which its objects could be told from those of another such outline?"""
        return bool(self.types & OBJECT) and self.values is None and not self.required


class Strings(Protocol):
    """What is asked of ``Lexical``."""

    def matches(self, pattern: str, text: str) -> bool:
        """Does a pattern match somewhere in the text?"""

    def patterns_exclude(self, patterns: frozenset[str]) -> bool:
        """Do the patterns surely match no text together?"""


class Disjoint:
    """Compares the schemas of one document; outlines are kept."""

    def __init__(self, dialect: Dialect, targets: Mapping[int, Schema], strings: Strings) -> None:
        self._dialect = dialect
        self._strings = strings
        self._targets = targets
        self._outlines: dict[int, Outline] = {}
        # The schemas are kept, so that an identity stays a schema's own.
        self._answers: dict[tuple[int, int], tuple[bool, dict[Any, Any], dict[Any, Any]]] = {}

    def outline(self, schema: dict[Any, Any]) -> Outline:
        """What the schema surely implies."""
        known = self._outlines.get(id(schema))
        if known is None:
            known = self._outlines[id(schema)] = Outline()
            self._add(schema, known)
        return known

    def exclude(self, left: Schema, right: Schema, depth: int = _DEPTH) -> bool:
        """Can no value satisfy both? True is certain."""
        if left is False or right is False:
            return True
        if left is True or right is True or left is right or depth == 0:
            return False
        if depth < _DEPTH:
            return self._exclude(left, right, depth)
        known = self._answers.get((id(left), id(right)))
        if known is None:
            known = self._answers[id(left), id(right)] = (self._exclude(left, right, depth), left, right)
        return known[0]

    def overlaps(self, types: int, branches: Sequence[Schema], deadline: Deadline) -> Sequence[Sequence[int]]:
        """Per branch of a ``oneOf``: the others (and perhaps itself) that may hold beside it."""
        count = len(branches)
        outlines = [self.outline(branch) if isinstance(branch, dict) else None for branch in branches]
        if types & OBJECT and all(outline is not None and outline.is_open() for outline in outlines):
            return [range(count)] * count
        labels = [_NO_LABELS if outline is None else self._labels(outline, types) for outline in outlines]
        counts = Counter(chain.from_iterable(labels))
        label = max(counts, key=counts.__getitem__, default=None)
        labelled: dict[object, list[int]] = {}  # by value, those that are limited to some values of one thing
        others: list[int] = []
        for index, values in enumerate(labels):
            if label in values:
                for value in values[label]:
                    labelled.setdefault(value, []).append(index)
            else:
                others.append(index)
        out: list[list[int]] = [[] for _ in branches]
        pairs = dict.fromkeys(chain.from_iterable(combinations(group, 2) for group in labelled.values()))
        with_others = product(others, range(count))
        others_pairs = (pair for pair in with_others if pair[0] < pair[1] or label in labels[pair[1]])
        for left, right in chain(pairs, others_pairs):
            deadline.tick()
            if not self._exclude_within(types, branches[left], branches[right]):
                out[left].append(right)
                out[right].append(left)
        for indices in out:
            indices.sort()
        return out

    def _labels(self, outline: Outline, types: int) -> Mapping[str | None, Iterable[object]]:
        """What a value, or under None the whole, is limited to; values without one in common exclude each other."""
        if outline.values is not None:
            return {None: outline.values}
        if outline.types & types & ~OBJECT:
            return _NO_LABELS
        return dict(self._given(outline).items())

    def _exclude_within(self, types: int, left: Schema, right: Schema) -> bool:
        """``exclude`` for values of these types only (as bits)."""
        if types == EVERY_TYPE or isinstance(left, bool) or isinstance(right, bool):
            return self.exclude(left, right)
        return left is not right and self._are_apart(self.outline(left), self.outline(right), _DEPTH, types)

    def _exclude(self, left: dict[Any, Any], right: dict[Any, Any], depth: int) -> bool:
        return self._are_apart(self.outline(left), self.outline(right), depth)

    def _are_apart(self, a: Outline, b: Outline, depth: int, within: int = EVERY_TYPE) -> bool:
        types = a.types & b.types & within
        values = a.values if b.values is None else b.values if a.values is None else _common(a.values, b.values)
        if values is not None:
            bits = 0
            for name, value in values.items():
                if name not in a.excluded and name not in b.excluded and self._fits(value, a) and self._fits(value, b):
                    bits |= type_bit(value)
                    if not types & ~bits:
                        break
            types &= bits
        if types & OBJECT and self._objects(a, b, depth):
            types &= ~OBJECT
        if types & STRING and (_apart(a.length, b.length) or (values is None and self._texts_exclude(a, b))):
            types &= ~STRING
        if types & ARRAY and _apart(a.items, b.items):
            types &= ~ARRAY
        if types & (INTEGER | FRACTION) and _apart((a.low, a.high), (b.low, b.high)):
            types &= ~(INTEGER | FRACTION)
        return not types

    def _texts_exclude(self, a: Outline, b: Outline) -> bool:
        """Can no string match the patterns of both?"""
        return bool(a.patterns and b.patterns) and self._strings.patterns_exclude(frozenset(a.patterns + b.patterns))

    def _fits(self, value: object, outline: Outline) -> bool:
        """Might a value satisfy the outline? Looks at patterns, and at the scalar members of objects."""
        if isinstance(value, str):
            return all(self._strings.matches(pattern, value) for pattern in outline.patterns)
        if not isinstance(value, dict):
            return True
        if any(name not in value for name in outline.required):
            return False
        if any(name not in names for names in outline.closed for name in value):
            return False
        for name, schema in outline.properties:
            if name in value and (schema is False or not self._may_be(value[name], schema)):
                return False
        return True

    def _may_be(self, value: object, schema: Schema) -> bool:
        if isinstance(schema, bool):
            return schema
        outline = self.outline(schema)
        name = identity(value)
        return (
            bool(type_bit(value) & outline.types)
            and name not in outline.excluded
            and (outline.values is None or name in outline.values)
        )

    def _given(self, outline: Outline) -> Mapping[str, AbstractSet[object]]:
        """The values that required properties are limited to: what tells the members of a union apart."""
        if outline.given is None:
            outline.given = {}
            for name, schema in outline.properties:
                if name in outline.required and isinstance(schema, dict):
                    values = self.outline(schema).values
                    if values is not None:
                        outline.given[name] = values.keys() & outline.given.get(name, values.keys())
        return outline.given

    def _objects(self, a: Outline, b: Outline, depth: int) -> bool:
        others = self._given(b)
        for name, values in self._given(a).items():
            if name in others and not values & others[name]:
                return True
        for name in (*a.required, *b.required):
            if any(name not in names for names in (*a.closed, *b.closed)):
                return True
            left = [schema for other, schema in a.properties if other == name]
            right = [schema for other, schema in b.properties if other == name]
            if False in left or False in right:
                return True
            if any(self.exclude(one, two, depth - 1) for one in left for two in right):
                return True
            joint = depth > 1 and len(left) + len(right) > 2 and left and right
            if joint and self._are_apart(self._joined(left), self._joined(right), depth - 1):
                return True
        return False

    def _joined(self, schemas: Sequence[Schema]) -> Outline:
        """The outline of all of them together."""
        joined = Outline()
        for schema in schemas:
            self._add(schema, joined)
        return joined

    def _add(self, schema: Schema, out: Outline) -> None:
        """Add what a schema says, and what it applies in place, each schema once."""
        todo = [schema]
        seen: set[int] = set()
        while todo:
            schema = todo.pop()
            if schema is False:
                out.types = 0
            elif isinstance(schema, dict) and id(schema) not in seen:
                seen.add(id(schema))
                if "$ref" in schema:
                    todo.append(self._targets[id(schema)])
                    if self._dialect.ref_overrides:
                        continue
                self._add_own(schema, out)
                todo += schema.get("allOf", ())

    def _add_own(self, s: dict[Any, Any], out: Outline) -> None:
        if "type" in s:
            bits = 0
            for name in [s["type"]] if isinstance(s["type"], str) else s["type"]:
                bits |= TYPE_BITS[name]
            out.types &= bits
        values = s.get("enum")
        if "const" in s and "const" in self._dialect.keywords:
            values = [s["const"]]
        if values is not None and len(values) <= _MAX_VALUES:
            listed: dict[object, object] = {identity(value): value for value in values}
            out.values = listed if out.values is None else _common(out.values, listed)
        if "pattern" in s:
            out.patterns += (s["pattern"],)
        opposite = s.get("not")
        if isinstance(opposite, dict):
            constant = "const" in opposite and "const" in self._dialect.keywords
            given = [opposite["const"]] if constant else opposite.get("enum", ())
            if list(opposite) == ["type"]:
                for name in [opposite["type"]] if isinstance(opposite["type"], str) else opposite["type"]:
                    out.types &= ~TYPE_BITS[name]
            if len(opposite) == 1 and len(given) <= _MAX_VALUES:
                out.excluded.update(map(identity, given))
        for name in s.get("required", ()):
            out.required[name] = None
        properties = s.get("properties", {})
        out.properties += properties.items()
        if s.get("additionalProperties") is False and not s.get("patternProperties"):
            out.closed.append(frozenset(properties))
        out.length = _narrow(out.length, s.get("minLength"), s.get("maxLength"))
        out.items = _narrow(out.items, s.get("minItems"), s.get("maxItems"))
        out.low, out.high = _narrow((out.low, out.high), s.get("minimum"), s.get("maximum"))


def _common(left: dict[object, object], right: dict[object, object]) -> dict[object, object]:
    return {name: value for name, value in left.items() if name in right}


def _narrow(range_: tuple[float, float], low: float | None, high: float | None) -> tuple[float, float]:
    return max(range_[0], range_[0] if low is None else low), min(range_[1], range_[1] if high is None else high)


def _apart(left: tuple[float, float], right: tuple[float, float]) -> bool:
    return left[0] > right[1] or right[0] > left[1]
