"""Which branches of a choice a conjunct leaves open: absorption, before anything is multiplied out.

    x ∧ (x ∨ y) = x        a choice of which some branch holds already is no choice
    x ∧ (¬x ∨ y) = x ∧ y   a branch that cannot hold any more is dropped

Discriminated unions live by it: where ``kind`` is required and can only be "a", "some kind that is not b" holds, and
"no kind" cannot. The tests are cheap and certain; what they do not see stays open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from grammar_engine.compiler.frontends.json_schema.dialects import Dialect
from grammar_engine.compiler.frontends.json_schema.internal import Internal
from grammar_engine.compiler.frontends.json_schema.json_types import EVERY_TYPE, OBJECT, type_bits
from grammar_engine.compiler.frontends.json_schema.negation import Negation
from grammar_engine.compiler.frontends.json_schema.references import Schema
from grammar_engine.compiler.limits import Deadline

if TYPE_CHECKING:
    from grammar_engine.compiler.frontends.json_schema.conjuncts import Conjunct

_DEPTH = 4

Exclude = Callable[[Schema, Schema], bool]
"""Can no value satisfy both? True is certain."""


class Branches:
    """Weighs the branches of one document's choices."""

    def __init__(
        self,
        dialect: Dialect,
        targets: Mapping[int, Schema],
        negation: Negation,
        exclude: Exclude,
        says: frozenset[Any],
        deadline: Deadline,
    ) -> None:
        """says: the keywords that constrain a value; others are annotations."""
        self._dialect = dialect
        self._targets = targets
        self._negation = negation
        self._exclude = exclude
        self._says = says
        self._deadline = deadline

    def open(self, conjunct: Conjunct, choice: list[Schema]) -> list[Schema] | None:
        """The branches that may still hold; None if one of them does already."""
        if not conjunct.schemas.isdisjoint(map(id, choice)):
            return None
        schemas = conjunct.schemas
        if any(id(branch) in schemas for branch in choice):
            return None
        out: list[Schema] = []
        for branch in choice:
            holds = self._holds(conjunct, branch, _DEPTH)
            if holds:
                return None
            if holds is None:
                out.append(branch)
        return out

    def _holds(self, c: Conjunct, schema: Schema, depth: int) -> bool | None:
        """Does the schema hold of everything that satisfies the conjunct (True), of nothing (False), or of some?"""
        self._deadline.tick()
        if isinstance(schema, bool):
            return schema
        if id(schema) in c.schemas:
            return True
        bits = schema.get(Internal.TYPES, EVERY_TYPE) & type_bits(schema.get("type"))
        if not bits & c.types and ("$ref" not in schema or not self._dialect.ref_overrides):
            return False
        if depth == 0:
            return None
        if "$ref" in schema:
            behind = self._holds(c, self._targets[id(schema)], depth - 1)
            if behind is False or self._dialect.ref_overrides:
                return behind
        certain = not c.types & ~bits
        objects = bits & c.types == OBJECT
        for keyword, value in schema.items():
            holds: bool | None = None
            if keyword in ("type", Internal.TYPES) or keyword not in self._says:
                continue
            if keyword == "$ref":
                holds = behind
            elif keyword == "allOf":
                holds = _every(self._holds(c, member, depth - 1) for member in value)
            elif keyword == "anyOf":
                holds = _some(self._holds(c, member, depth - 1) for member in value)
            elif keyword == "not":
                if id(value) in c.schemas:
                    return False
                holds = self._holds(c, self._negation.of(value), depth - 1)
            elif keyword == "required":
                if objects and any(is_barred(c, name) for name in value):
                    return False
                holds = set(c.required).issuperset(value) or None
            elif keyword == "properties":
                holds = self._members(c, value, schema.get("required", ()), objects=objects)
            if holds is False:
                return False
            certain = certain and bool(holds)
        return certain or None

    def _members(self, c: Conjunct, members: Mapping[str, Schema], required: Any, *, objects: bool) -> bool | None:
        certain = True
        for name, schema in members.items():
            holds = self.member(c, name, schema)
            if holds is False and objects and (name in c.required or name in required):
                return False
            certain = certain and bool(holds)
        return certain or None

    def member(self, c: Conjunct, name: str, schema: Schema) -> bool | None:
        """Does the schema hold of whatever may stand under a name?"""
        if schema is True or is_barred(c, name):
            return True
        if schema is False:
            return False
        opposite = schema["not"] if list(schema) == ["not"] else None
        for layer in c.object_layers:
            known = layer.get("properties", {}).get(name)
            if known is None:
                continue
            if known is schema or (opposite is not None and self._exclude(known, opposite)):
                return True
            if known is opposite or self._exclude(known, schema):
                return False
        return None


def is_barred(c: Conjunct, name: str) -> bool:
    """May no property of this name stand?"""
    for layer in c.object_layers:
        properties = layer.get("properties", {})
        if name in properties:
            if properties[name] is False:
                return True
        elif layer.get("additionalProperties") is False and not layer.get("patternProperties"):
            return True
    return False


def _every(parts: Iterable[bool | None]) -> bool | None:
    certain: bool | None = True
    for part in parts:
        if part is False:
            return False
        certain = certain and part
    return certain


def _some(parts: Iterable[bool | None]) -> bool | None:
    certain: bool | None = False
    for part in parts:
        if part:
            return True
        if part is None:
            certain = None
    return certain
