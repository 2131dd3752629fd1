"""Property names that no keyword mentions, divided by the patterns that they match.

``patternProperties``, ``propertyNames`` and their negations split the undeclared names into classes; names of one class
share the formula of their values. A class is an automaton; an empty class is dropped, and one with only a few names is
turned into declared names, which rules of their own keep from being written twice; the other names are guarded
(``compiler/guard.py``). Without patterns there is one class, whose automaton ``names.py`` builds much faster.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from grammar_engine.compiler.automaton import AGAIN, MATCH, ByteAutomaton
from grammar_engine.compiler.char_automaton import CharAutomaton
from grammar_engine.compiler.char_states import MAX_STATES, States
from grammar_engine.compiler.frontends.json_schema.conjunction import ANYTHING, Formula, Formulas
from grammar_engine.compiler.frontends.json_schema.json_types import STRING
from grammar_engine.compiler.frontends.json_schema.lexical import Lexical
from grammar_engine.compiler.frontends.json_schema.plans import ObjectPlan
from grammar_engine.compiler.frontends.json_schema.references import Schema
from grammar_engine.compiler.frontends.json_schema.scalars import string_key
from grammar_engine.compiler.spelling import to_plain_json_string

FEW = 64
MAX_CLASS_STATES = 10_000


class NameClass(NamedTuple):
    """Names, as the key of a terminal, the formula of their values, and which obligations they are selected by.

    thin: the names behind some beginning may run out. size: how many there are; None: infinitely many.
    """

    terminal: tuple[object, ...]
    formula: Formula
    selected: int
    thin: bool = False
    size: int | None = None

    @property
    def is_open(self) -> bool:
        """Are these all names but the declared ones? Then any beginning of a name may become one of them."""
        return self.terminal[0] == "name"


class Splitter(NamedTuple):
    """What divides names: ("pattern", pattern) or ("formula", formula)."""

    kind: str
    detail: Hashable


class FoundClass(NamedTuple):
    """Names of which the same splitters hold.

    few: all of them, if they are few. Otherwise the key of their terminal, thin and size as in ``NameClass``.
    """

    held: frozenset[Splitter]
    terminal: tuple[object, ...]
    thin: bool = False
    size: int | None = None
    few: list[str] | None = None


_Class = tuple[frozenset[Splitter], CharAutomaton | None]


class NameClasses:
    """Divides the undeclared names of object plans; automata of names are kept by what they were made of."""

    def __init__(self, formulas: Formulas, lexical: Lexical) -> None:
        self._formulas = formulas
        self._lexical = lexical
        self._automata: dict[Hashable, CharAutomaton] = {}
        self._sizes: dict[Hashable, tuple[bool, int | None]] = {}
        self._divided: dict[Hashable, list[_Class]] = {}

    def spelled(self, key: tuple[Any, ...]) -> ByteAutomaton:
        """The automaton of a class, by the key in its terminal. Patterns mean the same in all schemas, formulas not."""
        name_formula, splitters, *_ = key
        shared = name_formula == ANYTHING and all(splitter.kind == "pattern" for splitter in splitters)
        return to_plain_json_string(self._automata[key], key=f"json-names:{key!r}" if shared else "")

    def divide(self, plan: ObjectPlan) -> list[NameClass]:
        """The classes of a plan; may declare more names in it."""
        if plan.name_formula is None:
            return []
        splitters = _splitters(plan)
        if not splitters and plan.name_formula == ANYTHING:
            formula = self._formulas.of([layer.rest for layer in plan.layers])
            if formula is None:
                return []
            selected = sum(1 << bit for bit in range(len(plan.obligations)))
            return [NameClass(("name", frozenset(plan.names)), formula, selected)]
        return self._divide_by_automata(plan, splitters)

    def _divide_by_automata(self, plan: ObjectPlan, splitters: list[Splitter]) -> list[NameClass]:
        assert plan.name_formula is not None
        out: list[NameClass] = []
        closed = len(splitters) == 1 and self._formula(plan, frozenset()) is None
        for found in self.found(list(plan.names), splitters, plan.name_formula, closed=closed):
            formula = self._formula(plan, found.held)
            if formula is None:
                continue
            for name in found.few or ():
                if name not in plan.index:
                    plan.declare(name, formula)
            if found.few is None:
                out.append(NameClass(found.terminal, formula, self._selected(plan, found.held), found.thin, found.size))
        return out

    def found(
        self,
        declared: Sequence[str],
        splitters: list[Splitter],
        name_formula: Formula = ANYTHING,
        *,
        closed: bool = False,
    ) -> Iterator[FoundClass]:
        """All names that satisfy a formula but the declared ones, by the splitters that hold of them.

        closed: those of which none holds are not asked for.
        """
        for held, names in self._classes(name_formula, splitters, closed=closed):
            if names is None:
                yield FoundClass(held, ("name", frozenset(declared)))
                continue
            inside_names = [name for name in declared if names.accepts(name)]
            few = finite_texts(names, FEW + len(inside_names))
            if few is not None:
                yield FoundClass(held, (), few=few)
                continue
            key = (name_formula, tuple(splitters), held, tuple(inside_names))
            if key not in self._automata:
                others = names.difference(CharAutomaton.from_strings(inside_names)) if inside_names else names
                self._automata[key] = others
                self._sizes[key] = (is_thin(others), size_of(others))
            if inside_names and self._automata[key].is_empty():  # (seen only now where lengths are counted)
                continue
            yield FoundClass(held, ("names", key), *self._sizes[key])

    def _classes(self, name_formula: Formula, splitters: list[Splitter], *, closed: bool) -> list[_Class]:
        """The names by the splitters that hold of them, None for all names; alternatives of one value share them."""
        key = (name_formula, tuple(splitters), closed)
        found = self._divided.get(key)
        if found is not None:
            return found
        classes: list[_Class] = [(frozenset(), None if name_formula == ANYTHING else self._of_formula(name_formula))]
        for splitter in splitters:
            divided: list[_Class] = []
            part = self._of_splitter(splitter)
            for held, names in classes:
                self._lexical.deadline.check()
                inside = part if names is None else names.intersect(part, limit=MAX_CLASS_STATES)
                if not inside.is_empty():
                    divided.append((held | {splitter}, inside))
                if not closed:
                    outside = part.complement() if names is None else names.difference(part, limit=MAX_CLASS_STATES)
                    if not outside.is_empty():
                        divided.append((held, outside))
            classes = divided
        self._divided[key] = classes
        return classes

    def _formula(self, plan: ObjectPlan, held: frozenset[Splitter]) -> Formula | None:
        schemas: list[Schema] = []
        for layer in plan.layers:
            found = [schema for pattern, schema in layer.patterns.items() if Splitter("pattern", pattern) in held]
            schemas += found or [layer.rest]
        return self._formulas.of(schemas)

    def _selected(self, plan: ObjectPlan, held: frozenset[Splitter]) -> int:
        bits = 0
        for bit, ((kind, detail), _) in enumerate(plan.obligations):
            if kind == "outside":
                chosen = not any(Splitter("pattern", pattern) in held for pattern in detail[1])
            elif kind == "matching":
                chosen = Splitter("pattern", detail) in held
            else:
                chosen = Splitter("formula", detail) in held
            bits |= chosen << bit
        return bits

    def _of_splitter(self, splitter: Splitter) -> CharAutomaton:
        if splitter.kind == "pattern":
            return self._lexical.pattern_automaton(str(splitter.detail))
        return self._of_formula(splitter.detail)  # type: ignore[arg-type]

    def _of_formula(self, formula: Formula) -> CharAutomaton:
        """The strings that satisfy a formula."""
        whole = CharAutomaton.any_string(1, 0)
        for conjunct in self._formulas.normal(formula):
            if not conjunct.types & STRING:
                continue
            key = string_key(conjunct)
            if conjunct.values is not None:
                texts = [v for v in conjunct.values if isinstance(v, str) and self._lexical.string_satisfies(key, v)]
                part = CharAutomaton.from_strings(texts)
            else:
                part = self._lexical.value_automaton(key)
            whole = part if whole.is_empty() else whole.union(part)
        return whole


def _splitters(plan: ObjectPlan) -> list[Splitter]:
    out: dict[Splitter, None] = {}
    for layer in plan.layers:
        out.update((Splitter("pattern", pattern), None) for pattern in layer.patterns)
    for (kind, detail), _ in plan.obligations:
        if kind == "outside":
            out.update((Splitter("pattern", pattern), None) for pattern in detail[1])
        elif kind == "matching":
            out[Splitter("pattern", detail)] = None
        elif detail is not None:
            out[Splitter("formula", detail)] = None
    return sorted(out, key=repr)  # in an order of their own, so that plans with the same ones share the classes


def is_thin(automaton: CharAutomaton) -> bool:
    """May the texts behind some beginning be finitely many? "Yes" is said too often where states overlap."""
    return len(_endless(automaton)) < automaton.num_states


def size_of(automaton: CharAutomaton, *, limit: int = MAX_STATES) -> int | None:
    """How many texts the language has; None: infinitely many."""
    if 0 in _endless(automaton):
        return None
    states = automaton.minimize(limit=limit).states
    counts: dict[int, int] = {MATCH: 1}
    for state in _bottom_up(states):
        counts[state] = sum(
            counts[edge.target] * (1 if edge.target == MATCH else len(edge.label)) for edge in states[state]
        )
    return counts[0]


def _endless(automaton: CharAutomaton) -> set[int]:
    """The states behind which there is a loop without a greatest number of rounds."""
    before: dict[int, set[int]] = {}
    left: dict[int, int] = {}
    for state, edges in enumerate(automaton.states):
        targets = {edge.target for edge in edges if edge.target != MATCH and not (edge.op == AGAIN and edge.bound > 0)}
        left[state] = len(targets)
        for target in targets:
            before.setdefault(target, set()).add(state)
    ended = [state for state, count in left.items() if not count]
    endless = set(left) - set(ended)
    while ended:
        for state in before.get(ended.pop(), ()):
            left[state] -= 1
            if not left[state]:
                endless.discard(state)
                ended.append(state)
    return endless


def _bottom_up(states: States) -> list[int]:
    """States of an automaton without loops, each behind those that it leads to."""
    order: list[int] = []
    entered: set[int] = set()
    todo = [(0, False)]
    while todo:
        state, done = todo.pop()
        if done:
            order.append(state)
        elif state not in entered:
            entered.add(state)
            todo.append((state, True))
            todo += [(edge.target, False) for edge in states[state] if edge.target != MATCH]
    return order


def finite_texts(automaton: CharAutomaton, limit: int) -> list[str] | None:
    """All texts of the language if there are at most ``limit``, else None. Infinite languages are seen by a cycle."""
    if automaton.has_counters():
        return None
    found: dict[str, None] = {}
    longest = automaton.num_states
    todo: list[tuple[int, str]] = [(0, "")]
    steps = 0
    while todo:
        state, text = todo.pop()
        steps += 1
        if len(text) > longest or steps > 100 * limit:
            return None
        for edge in automaton.states[state]:
            if edge.target == MATCH:
                found[text] = None
                if len(found) > limit:
                    return None
            elif len(edge.label) > limit:
                return None
            else:
                todo += [(edge.target, text + chr(code)) for code in _codes(edge.label)]
    return sorted(found)


def _codes(label: Iterable[int]) -> list[int]:
    return list(label)
