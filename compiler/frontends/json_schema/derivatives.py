"""Objects whose alternatives are not multiplied out: read property by property, by derivatives of one formula.

What is asked of the rest of an object is a node of ``object_formulas.py``. Its derivative by a property is a list of
*ways*: (what the value must satisfy, what is asked of the rest then).

    every (p, S)   by p: (S, true)               some (p, S)    by p: (S, true)
    least n        by any: (-, least n-1)        φ ∨ ψ          ways of φ and ways of ψ
    other (s, S)   if s selects: (S, true), (-, the same)        φ ∧ ψ    one way of each, taken together

    anything else is not touched by a property; what no property that is left can touch is settled: ``every`` holds,
    ``some`` fails

so the state of an object is (which properties are left, node), and only what the next property decides is taken apart.
Parts of a conjunction that share no property do not concern each other: whether an object can be finished is decided,
and remembered, for each of them alone.
Of ways that ask less of the value for the same of the rest, only those are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, combinations
from typing import NamedTuple

from grammar_engine.compiler.errors import LimitExceededError, UnsupportedSchemaError
from grammar_engine.compiler.frontends.json_schema.conjunction import Formula
from grammar_engine.compiler.frontends.json_schema.conjuncts import Conjunct
from grammar_engine.compiler.frontends.json_schema.names import is_spellable
from grammar_engine.compiler.frontends.json_schema.object_nodes import (
    AND,
    EVERY,
    FALSE,
    LEAST,
    MOST,
    OR,
    OTHER,
    REST,
    SOME,
    TRUE,
    Node,
)
from grammar_engine.compiler.frontends.json_schema.object_properties import Given, Properties

Asks = frozenset[int]
"""Numbers of the schemas that a value must satisfy (``object_formulas.Asked``)."""

MAX_WAYS = 2000
"""Ways of one property."""
_FEW_PARTS = 4
"""Parts of what is asked of an object that are taken together again behind a property before it has stood."""
MAX_SEARCHED = 50_000
"""States of one object that are tried to find an end of it."""

_NOTHING: Asks = frozenset()
Ways = list[tuple[Asks, Node]]


class State(NamedTuple):
    """left: the properties that may still come, as bits: declared names, then classes of others."""

    left: int
    node: Node


class Derivatives:
    """The objects of one conjunct. names: declared ones, in order. classes: of all the others."""

    def __init__(self, conjunct: Conjunct, given: Given) -> None:
        self._given = given
        self._objects = given.formulas.objects
        self.properties = properties = Properties(conjunct, given)
        self.names, self.classes = properties.names, properties.classes
        self._everything = (1 << len(self.names) + len(self.classes)) - 1
        self.others = self._everything >> len(self.names) << len(self.names)
        self._touched: dict[Node, int] = {FALSE: 0, TRUE: 0}
        self._settled: dict[State, Node] = {}
        self._ways: dict[tuple[Node, int], Ways] = {}
        self._ends: dict[State, bool] = {}
        self._satisfiable: list[Asks] = []
        self._parts: dict[State, list[tuple[int, Node]]] = {}
        self.start = State(self._everything, self._settle(properties.root, self._everything, whole=True))

    def _touching(self, node: Node) -> int:
        """The properties that touch a node, as bits."""
        found = self._touched.get(node)
        if found is None:
            self._given.deadline.tick()
            kind, *details = self._objects.kinds[node]
            if kind in (AND, OR):
                found = 0
                for part in details[0]:
                    found |= self._touching(part)
            elif kind in (EVERY, SOME):
                found = 1 << self.properties.index[details[0]]
            else:
                found = sum(1 << at for at in range(self._everything.bit_length()) if self.properties.touches(node, at))
            self._touched[node] = found
        return found

    def _settle(self, node: Node, left: int, *, whole: bool = False) -> Node:
        """What a node says when only some properties can still come. ``whole``: look at it in any case."""
        if node in (FALSE, TRUE):
            return node
        touching = self._touching(node)
        if not (touching & ~left or whole):
            return node
        key = State(left & touching, node)
        found = self._settled.get(key)
        if found is None:
            kind, *details = self._objects.kinds[node]
            if kind == AND:
                found = self._settle_all(details[0], left, whole=whole)
            elif kind == OR:
                found = self._objects.either(self._settle(part, left, whole=whole) for part in details[0])
            elif touching & left:
                found = node
            else:
                found = FALSE if kind in (SOME, OTHER, LEAST) else TRUE
            self._settled[key] = found
        return found

    def _settle_all(self, parts: Iterable[Node], left: int, *, whole: bool) -> Node:
        same: list[Node] = []
        others: list[Node] = []
        for part in parts:
            settled = self._settle(part, left, whole=whole)
            if settled == part:
                same.append(part)
            else:
                others.append(settled)
        return self._objects.both((self._objects.some_of(same), *others))

    # -- derivatives --------------------------------------------------------------------------------------------------

    def _derive(self, node: Node, at: int) -> Ways:
        if not self._touching(node) >> at & 1:
            return [(_NOTHING, node)]
        found = self._ways.get((node, at))
        if found is None:
            self._given.deadline.tick()
            kind, *details = self._objects.kinds[node]
            if kind == AND:
                found = self._derive_all(details[0], at)
            elif kind == OR:
                found = self._without_stricter(way for part in details[0] for way in self._derive(part, at))
            else:
                found = self._derive_atom(node, at)
            self._ways[node, at] = found
        return found

    def _derive_atom(self, node: Node, at: int) -> Ways:
        kind, *details = self._objects.kinds[node]
        if kind in (EVERY, SOME):
            return _one(details[1:], TRUE)
        if kind == REST:
            return _one(self.properties.rest(self._objects.layers[details[0]], at), node)
        if kind == OTHER:
            return [*_one(details[1:], TRUE), (_NOTHING, node)] if details[1] != TRUE else [(_NOTHING, TRUE)]
        if kind in (LEAST, MOST):
            fewer = self._objects.atom(kind, details[0] - 1)
            return [] if fewer == FALSE else [(_NOTHING, fewer)]
        return []  # NAMES: the name is not one of them

    def _derive_all(self, parts: Iterable[Node], at: int) -> Ways:
        untouched: list[Node] = []
        several: list[Ways] = []
        for part in parts:
            if self._touching(part) >> at & 1:
                several.append(self._derive(part, at))
            else:
                untouched.append(part)
        several.sort(key=len)
        found: Ways = [(_NOTHING, self._objects.some_of(untouched))]
        for ways in several:
            found = self._without_stricter(self._pairs(found, ways))
            if len(found) > MAX_WAYS:
                raise LimitExceededError(
                    "ways in which one property fits its object", limit=f"{MAX_WAYS}", given="more"
                )
        return found

    def _pairs(self, left: Ways, right: Ways) -> Iterator[tuple[Asks, Node]]:
        for asks, node in left:
            for more, other in right:
                self._given.deadline.tick()
                together = self._together(asks, more)
                if together is not None:
                    both = self._objects.both((node, other))
                    if both != FALSE:
                        yield together, both

    def _together(self, left: Asks, right: Asks) -> Asks | None:
        """What both ask of a value; None if it cannot satisfy both."""
        asked = self._objects.asked
        out = left
        for more in right:
            if any(asked.implies(known, more) for known in out):
                continue
            if any(asked.exclude(known, more) for known in out):
                return None
            out = frozenset((*(known for known in out if not asked.implies(more, known)), more))
        return out

    def _without_stricter(self, ways: Iterable[tuple[Asks, Node]]) -> Ways:
        merged: dict[Asks, Node] = {}
        for asks, node in ways:
            known = merged.get(asks)
            merged[asks] = node if known is None else self._objects.either((known, node))
        kept: dict[Asks, Node] = {}
        members = self._objects.members
        for asks, node in sorted(merged.items(), key=lambda way: len(way[0])):
            self._given.deadline.tick()
            atoms = members(node, AND)
            if not any(rest in (TRUE, node) or members(rest, AND) <= atoms for rest in _asking_less(kept, asks)):
                kept[asks] = node
        return list(kept.items())

    # -- the object ---------------------------------------------------------------------------------------------------

    def may_close(self, state: State) -> bool:
        """May the object end here?"""
        return self._settle(state.node, 0) == TRUE

    def _candidates(self, state: State, at: int) -> list[tuple[Asks, State]]:
        """What a property's value may be asked, and the state behind it; whether any value satisfies that is open.

        ``state`` is settled for what comes before the property.
        """
        left = state.left
        if at < len(self.names):
            if not is_spellable(self.names[at]):
                return []
            left &= ~(1 << at) if self._given.any_order else -1 << at + 1
        else:
            left &= -1 if self._given.any_order else self.others
        ways = ((asks, self._settle(node, left)) for asks, node in self._derive(state.node, at))
        return [(asks, State(left, rest)) for asks, rest in ways if rest != FALSE]

    def _formula(self, asks: Asks) -> Formula | None:
        schemas = self._objects.asked.schemas
        return self._given.formulas.of([schemas[number] for number in sorted(asks)])

    def _is_possible(self, asks: Asks) -> bool:
        """Does some value satisfy all of them? Then one satisfies any part of them too, so few are looked at."""
        if any(asks <= known for known in self._satisfiable):
            return True
        possible = self._given.possible(self._formula(asks))
        if possible:
            self._satisfiable.append(asks)
        return possible

    def following(self, state: State) -> Iterator[tuple[int, bool]]:
        """Every property that may come next: its number, and whether its ways take work to find.

        Declared names by index, classes of others behind them; only what the object can be finished from, as it is
        known to be from ``state``: so a part that a property has nothing to do with can be met behind it too.
        """
        parts = self._apart(state)
        few = len(parts) <= _FEW_PARTS
        left = state.left
        for at in range(self._everything.bit_length()):
            if not left >> at & 1:
                continue
            gone = left & ~self.others & (1 << at) - 1
            if gone and not self._given.any_order:
                left &= ~gone
                parts = [(mask, self._settle(part, left) if mask & gone else part) for mask, part in parts]
                if not all(part != FALSE and self.can_finish(State(left, part)) for mask, part in parts if mask & gone):
                    return
            touched = next((part for mask, part in parts if mask >> at & 1), TRUE)
            candidates = sorted(self._candidates(State(left, touched), at), key=lambda way: len(way[0]))
            if any(self._is_possible(asks) and self.can_finish(behind) for asks, behind in candidates):
                yield at, len(candidates) > 1 or not few

    def _apart(self, state: State) -> list[tuple[int, Node]]:
        """The parts of a conjunction that no property which is left touches two of, and what touches each."""
        if self._objects.kinds[state.node][0] != AND:
            return [(self._touching(state.node) & state.left, state.node)]
        state = self._touched_only(state)
        found = self._parts.get(state)
        if found is None:
            groups: list[tuple[int, list[Node]]] = []
            for part in self._objects.kinds[state.node][1]:
                mask, together = self._touching(part) & state.left, [part]
                apart = []
                for group in groups:
                    if group[0] & mask:
                        mask |= group[0]
                        together += group[1]
                    else:
                        apart.append(group)
                groups = [*apart, (mask, together)]
            found = self._parts[state] = [(mask, self._objects.some_of(parts)) for mask, parts in groups]
        return found

    def ways(self, state: State, at: int) -> Iterator[tuple[Formula, State]]:
        """What a property that ``following`` gave may hold, and the state behind it."""
        if not self._given.any_order:
            state = self._without(state, at)
        candidates = self._candidates(state, at)
        for asks, _ in sorted(candidates, key=lambda way: -len(way[0])):
            self._is_possible(asks)  # the strictest first: if they are possible, the others are
        for asks, behind in candidates:
            formula = self._formula(asks)
            if formula is not None and self._is_possible(asks) and self.can_finish(behind):
                yield formula, behind

    def _without(self, state: State, at: int) -> State:
        """No declared property comes before ``at`` any more."""
        left = state.left & (-1 << at if at < len(self.names) else self.others)
        return State(left, self._settle(state.node, left))

    def can_finish(self, start: State) -> bool:
        """Can the object be completed? So it can if each part of what is asked can be met that shares no property."""
        return all(self._can_finish(State(start.left & mask, part)) for mask, part in self._apart(start))

    def _can_finish(self, start: State) -> bool:
        """The same of one part. Searched for in one order, since the order decides nothing."""
        start = self._touched_only(start)
        known = self._ends.get(start)
        if known is not None:
            return known
        before: dict[State, State | None] = {}
        todo: list[tuple[Asks, State, State | None]] = [(_NOTHING, start, None)]
        end: State | None = None
        while todo:
            asks, state, came_from = todo.pop()
            if state in before or self._ends.get(state) is False or not self._is_possible(asks):
                continue
            before[state] = came_from
            if self.may_close(state) or self._ends.get(state):
                end = state
                break
            if len(before) > MAX_SEARCHED:
                raise LimitExceededError(
                    "combinations of an object's properties that are tried", limit=f"{MAX_SEARCHED}", given="more"
                )
            todo += ((asks, self._touched_only(behind), state) for asks, behind in self._steps(state))
        if self._given.deciding():
            return end is not None
        if end is None:
            self._ends.update(dict.fromkeys(before, False))
        while end is not None:
            self._ends[end] = True
            end = before.get(end)
        return self._ends[start]

    def _touched_only(self, state: State) -> State:
        """The state without the properties that change nothing: they need not come to finish the object."""
        return State(state.left & self._touching(state.node), state.node)

    def _steps(self, state: State) -> Iterator[tuple[Asks, State]]:
        """Ways of the first property that is left, or none of it; the last one given is tried first."""
        declared = state.left & ~self.others
        if declared:
            at = (declared & -declared).bit_length() - 1
            left = state.left & ~(1 << at)
            found = [(asks, State(left, self._settle(way.node, left))) for asks, way in self._candidates(state, at)]
            found.sort(key=lambda way: -len(way[0]))
            skipped = State(left, self._settle(state.node, left))
            if skipped.node != FALSE:
                found.append((_NOTHING, skipped))
            yield from sorted(found, key=lambda way: self.may_close(way[1]))  # (stable; first what ends here)
            return
        for at, names in enumerate(self.classes, len(self.names)):
            for asks, behind in self._candidates(state, at):
                if behind.node == state.node:
                    continue
                if names.size is not None and self._is_possible(asks):
                    raise UnsupportedSchemaError(
                        "patternProperties or propertyNames",
                        pointer="",
                        advice="An alternative asks for properties of finitely many undeclared names, and those may be "
                        "used up: declare the names.",
                    )
                yield asks, behind


def _asking_less(ways: Mapping[Asks, Node], asks: Asks) -> Iterator[Node]:
    """What is asked of the rest where the value must satisfy less."""
    if 1 << len(asks) < len(ways):
        subsets = chain.from_iterable(combinations(asks, size) for size in range(len(asks)))
        yield from (ways[key] for key in map(frozenset, subsets) if key in ways)
    else:
        yield from (node for other, node in ways.items() if other < asks)


def _one(asked: Iterable[int], rest: Node) -> Ways:
    asks = frozenset(asked)
    return [] if FALSE in asks else [(asks - {TRUE}, rest)]
