"""What schemas ask of one object, as boolean formulas over atoms: for choices that are too many to multiply out.

    every (p, S)      no property p, or its value satisfies S          rest (L)     patterns and additional names of L
    some (p, S)       a property p, whose value satisfies S            other (s, S) some property that s selects has S
    least n, most n   so many properties                               names (φ)    every name satisfies φ

and ∧, ∨ of these; negations are taken apart before (``negation.py``). Nodes are interned integers, so branches that
come to ask the same are the same. ``derivatives.py`` reads properties through them: the derivative of a formula by a
property is again a formula (Brzozowski 1964, over objects instead of words; it is an alternating automaton whose
states are sets of obligations).

A conjunction is simplified as a solver of clauses does (unit propagation): alternatives that contradict one of its
atoms go, those that its atoms imply make their disjunction true, and the last one left becomes part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import chain
from typing import TYPE_CHECKING, Any

from grammar_engine.compiler.frontends.json_schema.branches import Exclude
from grammar_engine.compiler.frontends.json_schema.choices import Choices
from grammar_engine.compiler.frontends.json_schema.dialects import Dialect
from grammar_engine.compiler.frontends.json_schema.internal import Internal
from grammar_engine.compiler.frontends.json_schema.json_types import EVERY_TYPE, OBJECT, type_bits
from grammar_engine.compiler.frontends.json_schema.negation import Negation
from grammar_engine.compiler.frontends.json_schema.plans import Layer
from grammar_engine.compiler.frontends.json_schema.references import Schema
from grammar_engine.compiler.frontends.json_schema.schema_keys import Keys
from grammar_engine.compiler.frontends.json_schema.unevaluated import Unevaluated
from grammar_engine.compiler.limits import Deadline

if TYPE_CHECKING:
    from grammar_engine.compiler.frontends.json_schema.conjuncts import Conjunct

Node = int
FALSE, TRUE = 0, 1
AND, OR, EVERY, SOME, REST, OTHER, NAMES, LEAST, MOST = (
    "and",
    "or",
    "every",
    "some",
    "rest",
    "other",
    "names",
    ">=",
    "<=",
)
_MANY = 8
"""Branches that a branch of ``oneOf`` is negated against, from which on they are counted instead."""
_NONE: frozenset[Node] = frozenset()
_MAX_ABSORBED = 64
"""Alternatives that are compared with each other."""


class Asked:
    """Schemas of values, numbered; equal for those written alike. 0 holds of nothing, 1 of everything."""

    def __init__(self, targets: Mapping[int, Schema], exclude: Exclude) -> None:
        self._keys = Keys(targets)
        self._exclude = exclude
        self._numbers: dict[object, int] = {False: FALSE, True: TRUE}
        self.schemas: list[Schema] = [False, True]
        self._opposites: dict[int, int] = {}
        self._known: dict[tuple[int, int], bool] = {}

    def number(self, schema: Schema) -> int:
        """The number of a schema."""
        inner = schema["not"] if isinstance(schema, dict) and list(schema) == ["not"] else None
        if inner is None:
            key = self._keys.of(schema)
        elif isinstance(inner, bool):
            return TRUE - inner
        else:
            key = ("not", self._keys.of(inner))
        found = self._numbers.get(key)
        if found is None:
            found = self._numbers[key] = len(self.schemas)
            self.schemas.append(schema)
            if inner is not None:
                self._opposites[found] = self.number(inner)
        return found

    def exclude(self, left: int, right: int) -> bool:
        """Can no value satisfy both? True is certain."""
        if FALSE in (left, right):
            return True
        if left == right or TRUE in (left, right):
            return False
        key = (left, right) if left < right else (right, left)
        known = self._known.get(key)
        if known is None:
            opposite = self._opposites.get(left) == right or self._opposites.get(right) == left
            known = self._known[key] = opposite or self._exclude(self.schemas[left], self.schemas[right])
        return known

    def implies(self, left: int, right: int) -> bool:
        """Does the right one hold of all values of the left one? True is certain."""
        if right in (left, TRUE) or left == FALSE:
            return True
        opposite = self._opposites.get(right)
        return opposite is not None and self.exclude(left, opposite)


class ObjectFormulas:
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
        self._dialect = dialect
        self._targets = targets
        self._choices = choices
        self._negation = negation
        self._unevaluated = unevaluated
        self._deadline = deadline
        self.asked = Asked(targets, exclude)
        self.kinds: list[tuple[Any, ...]] = [(FALSE,), (TRUE,)]
        self.layers: list[Layer] = []
        self.selectors: list[tuple[str, Any]] = []
        self.name_schemas: list[Schema] = []
        self._numbers: dict[tuple[Any, ...], Node] = {}
        self._made: dict[int, tuple[Schema, Node]] = {}  # the schema is kept, and so its identity
        self._parts: dict[int, list[Schema]] = {}
        self._mentioned: dict[Node, frozenset[str | None]] = {}
        self._both: dict[frozenset[Node], Node] = {}

    # -- nodes --------------------------------------------------------------------------------------------------------

    def atom(self, kind: str, *details: Any) -> Node:
        """The node of an atom."""
        if details[-1] == FALSE and kind in (SOME, OTHER):
            return FALSE
        if (kind == EVERY and details[1] == TRUE) or (kind == LEAST and details[0] <= 0):
            return TRUE
        if kind == MOST and details[0] < 0:
            return FALSE
        return self._number((kind, *details))

    def _number(self, key: tuple[Any, ...]) -> Node:
        found = self._numbers.get(key)
        if found is None:
            found = self._numbers[key] = len(self.kinds)
            self.kinds.append(key)
        return found

    def members(self, node: Node, kind: str) -> frozenset[Node]:
        """The parts of a conjunction or disjunction; any other node is its only part."""
        key = self.kinds[node]
        return key[1] if key[0] == kind else frozenset((node,))

    def either(self, parts: Iterable[Node]) -> Node:
        """Their disjunction."""
        flat: set[Node] = set()
        for part in parts:
            if part == TRUE:
                return TRUE
            if part != FALSE:
                flat |= self.members(part, OR)
        if len(flat) <= _MAX_ABSORBED:
            asks = {part: self.members(part, AND) for part in flat}
            flat = {part for part in flat if not any(asks[other] < asks[part] for other in flat if other != part)}
        if len(flat) < 2:
            return flat.pop() if flat else FALSE
        return self._number((OR, frozenset(flat)))

    def both(self, parts: Iterable[Node]) -> Node:
        """Their conjunction."""
        flat: set[Node] = set()
        whole = [part for part in parts if part != TRUE]
        for part in whole:
            if part == FALSE:
                return FALSE
            flat |= self.members(part, AND)
        if len(flat) < 2:
            return flat.pop() if flat else TRUE
        key = frozenset(flat)
        found = self._both.get(key)
        if found is None:
            known = max((self.members(part, AND) for part in whole), key=len, default=_NONE)
            found = self._both[key] = self._propagated(known, key - known)
        return found

    def some_of(self, parts: Iterable[Node]) -> Node:
        """The conjunction of some members of a conjunction: there is nothing new to see."""
        key = frozenset(parts)
        if len(key) < 2:
            return next(iter(key), TRUE)
        return self._number((AND, key))

    def _propagated(self, known: frozenset[Node], parts: frozenset[Node]) -> Node:
        """The conjunction of ``known``, which was looked at before, and others."""
        self._deadline.tick()
        facts = _Facts(self)
        clauses: list[Node] = []
        for node in known:
            if self.kinds[node][0] == OR:
                clauses.append(node)
            else:
                facts.note(node)
        facts.forget_news()
        fresh: list[Node] = []
        todo = list(parts)
        while True:
            while todo:
                node = todo.pop()
                kind = self.kinds[node][0]
                if kind == AND:
                    todo += self.kinds[node][1]
                elif kind == OR:
                    fresh.append(node)
                elif not facts.add(node):
                    return FALSE
            left: list[Node] = []
            for clause in clauses:
                if facts.everything or not facts.fresh.isdisjoint(self._names_in(clause)):
                    fresh.append(clause)
                else:
                    left.append(clause)
            facts.forget_news()
            for clause in fresh:
                shorter = self._under(facts, clause)
                if shorter == FALSE:
                    return FALSE
                if self.kinds[shorter][0] == OR:
                    left.append(shorter)
                elif shorter != TRUE:
                    todo.append(shorter)
            fresh, clauses = [], left
            if not todo:
                break
        return self.some_of((*facts.nodes, *clauses))

    def _names_in(self, clause: Node) -> frozenset[str | None]:
        """The names of which atoms speak; None: all of them."""
        found = self._mentioned.get(clause)
        if found is None:
            kind, *details = self.kinds[clause]
            if kind in (AND, OR):
                found = frozenset(chain.from_iterable(map(self._names_in, details[0])))
            else:
                found = frozenset((details[0] if kind in (SOME, EVERY) else None,))
            self._mentioned[clause] = found
        return found

    def _under(self, facts: _Facts, clause: Node) -> Node:
        """A disjunction where the facts hold."""
        self._deadline.tick()
        out: list[Node] = []
        changed = False
        for option in self.kinds[clause][1]:
            atoms = self.members(option, AND)
            if any(facts.contradict(atom) for atom in atoms):
                changed = True
                continue
            left = [atom for atom in atoms if not facts.imply(atom)]
            if not left:
                return TRUE
            changed = changed or len(left) < len(atoms)
            out.append(option if len(left) == len(atoms) else self.both(left))
        return self.either(out) if changed else clause

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


class _Facts:
    """The atoms of a conjunction, by the name that they speak of."""

    def __init__(self, formulas: ObjectFormulas) -> None:
        self._formulas = formulas
        self.nodes: dict[Node, None] = {}
        self.fresh: set[str | None] = set()  # names of what has been added; None: of atoms that speak of none
        self.everything = False  # has something been added that speaks of all names?
        self._standing: dict[str, None] = {}
        self._asked: dict[str, list[int]] = {}
        self._closed: list[Layer] = []

    def add(self, node: Node) -> bool:
        """One more atom; False if it contradicts another one."""
        if node in self.nodes or self.imply(node):
            return True
        if self.contradict(node):
            return False
        self.note(node)
        return True

    def note(self, node: Node) -> None:
        """One more atom, which is known to go with the others and to add to them."""
        self.nodes[node] = None
        kind, *details = self._formulas.kinds[node]
        self.fresh.add(None)
        if kind in (SOME, EVERY):
            self.fresh.add(details[0])
            self._asked.setdefault(details[0], []).append(details[1])
            if kind == SOME:
                self._standing[details[0]] = None
        elif kind == REST:
            layer = self._formulas.layers[details[0]]
            if layer.rest is False and not layer.patterns:
                self._closed.append(layer)
                self.everything = True

    def forget_news(self) -> None:
        """What comes now is new."""
        self.fresh = set()
        self.everything = False

    def _is_barred(self, name: str) -> bool:
        return any(name not in layer.properties for layer in self._closed)

    def contradict(self, node: Node) -> bool:
        """Can the atom not hold beside the others? True is certain."""
        kind, *details = self._formulas.kinds[node]
        if kind in (SOME, EVERY):
            name, asked = details
            if kind == EVERY and name not in self._standing:
                return False
            exclude = self._formulas.asked.exclude
            return self._is_barred(name) or any(exclude(asked, other) for other in self._asked.get(name, ()))
        if kind == REST:
            layer = self._formulas.layers[details[0]]
            if layer.rest is False and not layer.patterns:
                return any(name not in layer.properties for name in self._standing)
        return False

    def imply(self, node: Node) -> bool:
        """Does the atom hold where the others do? True is certain."""
        if node in self.nodes:
            return True
        kind, *details = self._formulas.kinds[node]
        if kind in (SOME, EVERY):
            name, asked = details
            if kind == SOME and name not in self._standing:
                return False
            implies = self._formulas.asked.implies
            if kind == EVERY and (self._is_barred(name)):
                return True
            return (kind == SOME and asked == TRUE) or any(implies(other, asked) for other in self._asked.get(name, ()))
        return False
