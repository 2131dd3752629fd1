"""The properties that the formula of an object tells apart: declared names, and classes of all other names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from grammar_engine.compiler.frontends.json_schema.conjunction import Formula, Formulas
from grammar_engine.compiler.frontends.json_schema.conjuncts import Conjunct
from grammar_engine.compiler.frontends.json_schema.extras import FoundClass, NameClasses, Splitter
from grammar_engine.compiler.frontends.json_schema.object_nodes import (
    AND,
    EVERY,
    FALSE,
    NAMES,
    OR,
    OTHER,
    REST,
    SOME,
    TRUE,
    Node,
)
from grammar_engine.compiler.frontends.json_schema.plans import Layer
from grammar_engine.compiler.limits import Deadline


class Given(NamedTuple):
    """What the derivatives of one document's objects take from elsewhere."""

    formulas: Formulas
    classes: NameClasses
    possible: Callable[[Formula | None], bool]
    satisfies: Callable[[Formula | None, object], bool]
    matches: Callable[[str, str], bool]
    deciding: Callable[[], bool]
    deadline: Deadline
    any_order: bool


class Properties:
    """Those of one conjunct. names: declared ones, in order; classes: of all the others, numbered behind them."""

    def __init__(self, conjunct: Conjunct, given: Given) -> None:
        self._given = given
        self._objects = objects = given.formulas.objects
        self.root = root = objects.both((objects.base(conjunct), *map(objects.choice, conjunct.choices)))
        atoms = self._atoms(root)
        known = dict.fromkeys(objects.names(conjunct)[0])
        for atom in atoms:
            kind, *details = objects.kinds[atom]
            if kind in (EVERY, SOME):
                known[details[0]] = None
            elif kind == OTHER and objects.selectors[details[0]][0] == "outside":
                known.update(dict.fromkeys(objects.selectors[details[0]][1][0]))
            elif kind == REST:
                known.update(dict.fromkeys(objects.layers[details[0]].properties))
        self._name_formulas = {
            details[0]: given.formulas.of((objects.name_schemas[details[0]],))
            for kind, *details in map(objects.kinds.__getitem__, atoms)
            if kind == NAMES
        }
        self.classes: list[FoundClass] = []
        for found in given.classes.found(list(known), self._splitters(atoms)):
            if found.few is None:
                self.classes.append(found)
            else:
                known.update(dict.fromkeys(found.few))
        self.names = list(known)
        self.index = {name: at for at, name in enumerate(self.names)}

    def _atoms(self, root: Node) -> list[Node]:
        """All atoms, those of what was said first in front."""
        seen: set[Node] = set()
        todo = [root]
        out: list[Node] = []
        while todo:
            node = todo.pop()
            if node in seen:
                continue
            seen.add(node)
            kind, *details = self._objects.kinds[node]
            if kind in (AND, OR):
                todo += details[0]
            elif node not in (FALSE, TRUE):
                out.append(node)
        return sorted(out)

    def _splitters(self, atoms: Iterable[Node]) -> list[Splitter]:
        objects = self._objects
        out: dict[Splitter, None] = {}
        for atom in atoms:
            kind, *details = objects.kinds[atom]
            if kind == REST:
                out.update((Splitter("pattern", pattern), None) for pattern in objects.layers[details[0]].patterns)
            elif kind == NAMES:
                formula = self._name_formulas[details[0]]
                if formula is not None:
                    out[Splitter("formula", formula)] = None
            elif kind == OTHER:
                how, what = objects.selectors[details[0]]
                if how == "outside":
                    out.update((Splitter("pattern", pattern), None) for pattern in what[1])
                elif how == "matching":
                    out[Splitter("pattern", what)] = None
                else:
                    formula = self._given.formulas.of((what,))
                    if formula is not None:
                        out[Splitter("formula", formula)] = None
        return sorted(out, key=repr)

    def rest(self, layer: Layer, at: int) -> list[int]:
        """What patterns and additionalProperties of a layer ask of the value of a property."""
        number = self._objects.asked.number
        if at < len(self.names):
            name = self.names[at]
            found = [schema for pattern, schema in layer.patterns.items() if self._given.matches(pattern, name)]
            return [number(schema) for schema in found or (() if name in layer.properties else (layer.rest,))]
        held = self.classes[at - len(self.names)].held
        found = [schema for pattern, schema in layer.patterns.items() if Splitter("pattern", pattern) in held]
        return [number(schema) for schema in found or (layer.rest,)]

    def _selects(self, selector: int, at: int) -> bool:
        how, what = self._objects.selectors[selector]
        if at >= len(self.names):
            held = self.classes[at - len(self.names)].held
            if how == "outside":
                return not any(Splitter("pattern", pattern) in held for pattern in what[1])
            if how == "matching":
                return Splitter("pattern", what) in held
            return Splitter("formula", self._given.formulas.of((what,))) in held
        name = self.names[at]
        if how == "outside":
            return name not in what[0] and not any(self._given.matches(pattern, name) for pattern in what[1])
        if how == "matching":
            return self._given.matches(what, name)
        return self._given.satisfies(self._given.formulas.of((what,)), name)

    def _is_named(self, schema: int, at: int) -> bool:
        """Does the name of a property satisfy what ``propertyNames`` asks?"""
        formula = self._name_formulas[schema]
        if at < len(self.names):
            return self._given.satisfies(formula, self.names[at])
        return Splitter("formula", formula) in self.classes[at - len(self.names)].held

    def touches(self, atom: Node, at: int) -> bool:
        """Does an atom say something about a property, or its mere presence change it?"""
        kind, *details = self._objects.kinds[atom]
        if kind in (EVERY, SOME):
            return at < len(self.names) and self.names[at] == details[0]
        if kind == REST:
            return any(asked != TRUE for asked in self.rest(self._objects.layers[details[0]], at))
        if kind == OTHER:
            return self._selects(details[0], at)
        if kind == NAMES:
            return not self._is_named(details[0], at)
        return True
