"""Boolean formulas over what may be asked of one object's properties: atoms, ∧ and ∨, interned.

    every (p, S)   no property p, or its value satisfies S          rest (L)     patterns and additional names of L
    some (p, S)    a property p, whose value satisfies S            other (s, S) some property that s selects has S
    least n, most n   so many properties                            names (φ)    every name satisfies φ

A conjunction is simplified as a solver of clauses does (unit propagation): alternatives that contradict one of its
atoms go, those that its atoms imply make their disjunction true, and the last one left becomes part of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

from grammar_engine.compiler.frontends.json_schema.branches import Exclude
from grammar_engine.compiler.frontends.json_schema.plans import Layer
from grammar_engine.compiler.frontends.json_schema.references import Schema
from grammar_engine.compiler.frontends.json_schema.schema_keys import Keys
from grammar_engine.compiler.limits import Deadline

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


class ObjectNodes:
    """The nodes of the formulas of one document, and what they are made of."""

    def __init__(self, targets: Mapping[int, Schema], exclude: Exclude, deadline: Deadline) -> None:
        self._deadline = deadline
        self.asked = Asked(targets, exclude)
        self.kinds: list[tuple[Any, ...]] = [(FALSE,), (TRUE,)]
        self.layers: list[Layer] = []
        self.selectors: list[tuple[str, Any]] = []
        self.name_schemas: list[Schema] = []
        self._numbers: dict[tuple[Any, ...], Node] = {}
        self._mentioned: dict[Node, frozenset[str | None]] = {}
        self._both: dict[frozenset[Node], Node] = {}

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


class _Facts:
    """The atoms of a conjunction, by the name that they speak of."""

    def __init__(self, formulas: ObjectNodes) -> None:
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
