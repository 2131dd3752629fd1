"""What schemas ask of one object, as boolean formulas: for choices that are too many to multiply out.

Negations are taken apart before (``negation.py``). Nodes are interned (``object_nodes.py``), so branches that come to
ask the same are the same. ``derivatives.py`` reads properties through them: the derivative of a formula by a property
is again a formula (Brzozowski 1964, over objects instead of words; it is an alternating automaton whose states are sets
of obligations).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

from grammar_engine.compiler.frontends.json_schema.branches import Exclude
from grammar_engine.compiler.frontends.json_schema.choices import Choices
from grammar_engine.compiler.frontends.json_schema.dialects import Dialect
from grammar_engine.compiler.frontends.json_schema.internal import Internal
from grammar_engine.compiler.frontends.json_schema.json_types import EVERY_TYPE, OBJECT, type_bits
from grammar_engine.compiler.frontends.json_schema.negation import Negation
from grammar_engine.compiler.frontends.json_schema.object_nodes import (
    EVERY,
    FALSE,
    LEAST,
    MOST,
    NAMES,
    OTHER,
    REST,
    SOME,
    TRUE,
    Node,
    ObjectNodes,
)
from grammar_engine.compiler.frontends.json_schema.plans import Layer
from grammar_engine.compiler.frontends.json_schema.references import Schema
from grammar_engine.compiler.frontends.json_schema.unevaluated import Unevaluated
from grammar_engine.compiler.limits import Deadline

if TYPE_CHECKING:
    from grammar_engine.compiler.frontends.json_schema.conjuncts import Conjunct

_MANY = 8
"""Branches that a branch of ``oneOf`` is negated against, from which on they are counted instead."""


class ObjectFormulas(ObjectNodes):
    """The formulas of the schemas of one document."""

    def __init__(
        self,
        dialect: Dialect,
        targets: Mapping[int, Schema],
        choices: Choices,
        negation: Negation,
        unevaluated: Unevaluated,
        exclude: Exclude,
        deadline: Deadline,
    ) -> None:
        super().__init__(targets, exclude, deadline)
        self._dialect = dialect
        self._targets = targets
        self._choices = choices
        self._negation = negation
        self._unevaluated = unevaluated
        self._made: dict[int, tuple[Schema, Node]] = {}  # the schema is kept, and so its identity
        self._parts: dict[int, list[Schema]] = {}

    # -- from schemas -------------------------------------------------------------------------------------------------

    def of(self, schema: Schema) -> Node:
        """What a schema asks of an object."""
        if isinstance(schema, bool):
            return TRUE if schema else FALSE
        found = self._made.get(id(schema))
        if found is None:
            self._deadline.tick()
            parts: list[Schema] = []
            node = self._make(schema, parts)
            found = self._made[id(schema)] = (schema, node)
            self._parts[id(schema)] = parts
        return found[1]

    def choice(self, branches: Sequence[Schema]) -> Node:
        """Some branch holds."""
        return self.either(map(self.of, branches))

    def _make(self, schema: dict[Any, Any], parts: list[Schema]) -> Node:
        def of(part: Schema) -> Node:
            parts.append(part)
            return self.of(part)

        out: list[Node] = []
        if "$ref" in schema:
            out.append(of(self._targets[id(schema)]))
            if self._dialect.ref_overrides:
                return out[0]
        keywords = self._dialect.keywords
        if not schema.get(Internal.TYPES, EVERY_TYPE) & type_bits(schema.get("type")) & OBJECT:
            return FALSE
        values = schema.get("enum")
        if "const" in schema and "const" in keywords:
            out.append(self._given([schema["const"]], of))
        if values is not None:
            out.append(self._given(values, of))
        out += self._own(schema)
        out += map(of, schema.get("allOf", ()))
        if "not" in schema:
            out.append(of(self._negation.of(schema["not"])))
        for choice in self._choices.of(schema):
            if choice.keyword == "oneOf":
                out.append(self._one_of(schema, of))
            else:
                out.append(self.either(map(of, choice.branches)))
        if "unevaluatedProperties" in schema and "unevaluatedProperties" in keywords:
            out.append(self.either(map(of, self._unevaluated.cases(schema, "unevaluatedProperties"))))
        return self.both(out)

    def _own(self, schema: dict[Any, Any]) -> list[Node]:
        """The atoms of a schema's own keywords."""
        out: list[Node] = []
        properties: Mapping[str, Schema] = schema.get("properties", {})
        required: dict[str, None] = dict.fromkeys(schema.get("required", ()))
        for name, member in properties.items():
            out.append(self.atom(SOME if name in required else EVERY, name, self.asked.number(member)))
        out += [self.atom(SOME, name, TRUE) for name in required if name not in properties]
        layer = Layer(schema, True)
        if layer.rest is not True or any(member is not True for member in layer.patterns.values()):
            out.append(self.atom(REST, len(self.layers), None))
            self.layers.append(layer)
        if "propertyNames" in schema and "propertyNames" in self._dialect.keywords:
            out.append(self.atom(NAMES, len(self.name_schemas), None))
            self.name_schemas.append(schema["propertyNames"])
        if "minProperties" in schema:
            out.append(self.atom(LEAST, int(schema["minProperties"])))
        if "maxProperties" in schema:
            out.append(self.atom(MOST, int(schema["maxProperties"])))
        if Internal.SOME_PROPERTY in schema:
            out.append(self._other(*schema[Internal.SOME_PROPERTY]))
        return out

    def _given(self, values: Iterable[object], of: Callable[[Schema], Node]) -> Node:
        """The object is one of the values."""
        return self.either(
            of(
                {
                    "type": "object",
                    "required": list(value),
                    "properties": {name: {"enum": [member]} for name, member in value.items()},
                    "additionalProperties": False,
                }
            )
            for value in values
            if isinstance(value, dict)
        )

    def _one_of(self, schema: dict[Any, Any], of: Callable[[Schema], Node]) -> Node:
        branches: list[Schema] = schema["oneOf"]
        overlaps = self._choices.overlaps_of(schema)
        if max(map(len, overlaps), default=0) <= _MANY:
            made = next(choice.branches for choice in self._choices.of(schema) if choice.keyword == "oneOf")
            return self.either(map(of, made))
        none, one = TRUE, FALSE
        for branch in branches:
            holds, fails = of(branch), of(self._choices.negated(branch))
            one = self.either((self.both((one, fails)), self.both((none, holds))))
            none = self.both((none, fails))
        return one

    def base(self, conjunct: Conjunct) -> Node:
        """What a conjunct asks of objects, its choices left out."""
        out = [node for layer in conjunct.object_layers for node in self._own(layer)]
        out += [self.atom(SOME, name, TRUE) for name in conjunct.required]
        for schema in conjunct.names:
            out.append(self.atom(NAMES, len(self.name_schemas), None))
            self.name_schemas.append(schema)
        out += [self._other(*obligation) for obligation in conjunct.some_properties]
        if conjunct.min_properties:
            out.append(self.atom(LEAST, conjunct.min_properties))
        if conjunct.max_properties is not None:
            out.append(self.atom(MOST, conjunct.max_properties))
        return self.both(out)

    def _other(self, selector: tuple[str, Any], member: Schema) -> Node:
        self.selectors.append(selector)
        return self.atom(OTHER, len(self.selectors) - 1, self.asked.number(member))

    # -- the order of names -------------------------------------------------------------------------------------------

    def names(self, conjunct: Conjunct) -> tuple[list[str], bool]:
        """The names that schemas of a conjunct declare: first its own, then those of its choices.

        Each schema's in its order; False: there is no such order, and the one given is that in which they are met.
        """
        own = dict.fromkeys(name for layer in conjunct.object_layers for name in layer.get("properties", ()))
        behind: dict[str, dict[str, None]] = {}  # the names that some schema declares just before each
        seen: set[int] = set()
        todo = [schema for choice in conjunct.choices[::-1] for schema in choice[::-1]]
        while todo:
            self._deadline.tick()
            schema = todo.pop()
            if not isinstance(schema, dict) or id(schema) in seen:
                continue
            seen.add(id(schema))
            previous: list[str] = []
            for name in schema.get("properties", ()):
                if name not in own:
                    behind.setdefault(name, {}).update(dict.fromkeys(previous))
                    previous = [name]
            self.of(schema)
            todo += self._parts[id(schema)][::-1]
        try:
            return [*own, *TopologicalSorter(behind).static_order()], True
        except CycleError:
            return [*own, *behind], False
