"""Several automata run in step, and what is asked of them: every boolean operation on languages, on demand.

    state of the product: (formula, one subset of threads per operand)
    step: cut the alphabet into atoms only as finely as the edges at hand need; per atom every operand's threads move;
          an operand without threads has failed for good, one with a thread that accepts whatever comes holds for good:
          both are put into the formula, and operands that it no longer names are forgotten

The subsets are Rabin and Scott's (1959), the atoms those of symbolic automata. Putting settled operands into the
formula keeps products of many automata small: texts that differ only in what no longer matters share a state. For
"matches p, or q, or r", whatever was read of q and r is forgotten where p has matched. Counters are unfolded on the
way: a thread is a pair (state, counter).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass

from grammar_engine.compiler.automaton import MATCH
from grammar_engine.compiler.char_states import States, apply_counter
from grammar_engine.compiler.charset import ANY, CharSet, partition


@dataclass(frozen=True)
class Is:
    """The operand of this name accepts the text."""

    operand: Hashable


@dataclass(frozen=True)
class Not:
    """The part does not hold."""

    part: Formula


@dataclass(frozen=True)
class All:
    """Every part holds; of no parts, that is true."""

    parts: tuple[Formula, ...] = ()


@dataclass(frozen=True)
class Some:
    """Some part holds; of no parts, that is false."""

    parts: tuple[Formula, ...] = ()


Formula = Is | Not | All | Some
TRUE, FALSE = All(), Some()

Thread = tuple[int, int]
Subset = frozenset[Thread]
Key = tuple[int, tuple[Subset, ...]]
"""number of the formula, threads per operand that it names"""

_NOBODY: Subset = frozenset()


def operands_of(formula: Formula) -> list[Hashable]:
    """The operands that a formula names, each once."""
    if isinstance(formula, Is):
        return [formula.operand]
    if isinstance(formula, Not):
        return operands_of(formula.part)
    return list(dict.fromkeys(operand for part in formula.parts for operand in operands_of(part)))


def settle(formula: Formula, known: Mapping[Hashable, bool]) -> Formula:
    """The formula once some operands are known, without constants in it unless it is one."""
    if isinstance(formula, Is):
        value = known.get(formula.operand)
        return formula if value is None else TRUE if value else FALSE
    if isinstance(formula, Not):
        part = settle(formula.part, known)
        if isinstance(part, Not):
            return part.part
        return FALSE if part == TRUE else TRUE if part == FALSE else Not(part)
    kind, neutral, decisive = (All, TRUE, FALSE) if isinstance(formula, All) else (Some, FALSE, TRUE)
    parts: dict[Formula, None] = {}
    for member in formula.parts:
        part = settle(member, known)
        if part == decisive:
            return decisive
        if part != neutral:
            parts.update(dict.fromkeys(part.parts) if isinstance(part, kind) else {part: None})
    return next(iter(parts)) if len(parts) == 1 else kind(tuple(parts))


def expand(states: States, subset: Iterable[Thread]) -> tuple[bool, list[tuple[CharSet, Thread]]]:
    """What a set of threads can do: whether it may end, and (label, thread behind) pairs."""
    accepting = False
    moves: list[tuple[CharSet, Thread]] = []
    for state, counter in subset:
        for label, target, op, bound in states[state]:
            value = apply_counter(op, bound, counter) if op else counter
            if value < 0:
                continue
            if target == MATCH:
                accepting = True
            else:
                moves.append((label, (target, value)))
    return accepting, moves


class _Asked:
    """A formula, its operands in order, and the formulas it becomes as they are settled (None: still open)."""

    __slots__ = ("after", "formula", "operands")

    def __init__(self, formula: Formula) -> None:
        self.formula = formula
        self.operands = operands_of(formula)
        self.after: dict[tuple[bool | None, ...], tuple[int, tuple[int, ...]]] = {}


class Product:
    """The states of a product, each made when it is asked for; ``step`` says what follows one.

    A state from which no text can satisfy the formula, as far as settled operands tell, is left out.
    """

    def __init__(self, operands: Mapping[Hashable, States], formula: Formula) -> None:
        self._operands = operands
        self._asked: list[_Asked] = []
        self._numbers: dict[Formula, int] = {}
        self._keys: dict[Key, Key | None] = {}
        self._settled: dict[tuple[Hashable, Thread], bool] = {}
        self._true, self._false = self._number(TRUE), self._number(FALSE)
        self._formula = self._number(settle(formula, {}))

    def start(self) -> Key | None:
        """The state before any character; None if the formula is plainly false."""
        asked = self._asked[self._formula]
        return self._arrive(self._formula, asked, tuple(frozenset([(0, 0)]) for _ in asked.operands))

    def step(self, key: Key) -> tuple[bool, dict[Key, list[CharSet]]]:
        """Whether the text may end here, and per state behind it the disjoint sets of characters that lead there."""
        number, subsets = key
        if number == self._true:
            return True, {key: [ANY]}
        asked = self._asked[number]
        ends: list[bool] = []
        movers: dict[CharSet, list[tuple[int, Thread]]] = {}
        for index, operand in enumerate(asked.operands):
            accepting, moves = expand(self._operands[operand], subsets[index])
            ends.append(accepting)
            for label, thread in moves:
                movers.setdefault(label, []).append((index, thread))
        if self._after(asked, (False,) * len(subsets))[0] != self._false:
            movers.setdefault(ANY, [])  # characters that no operand reads lead somewhere too
        moving = list(movers.values())
        joined: dict[Key, list[CharSet]] = {}
        for atom, members in partition(tuple(movers)) if movers else ():
            targets: list[list[Thread] | None] = [None] * len(subsets)
            for member in members:
                for index, thread in moving[member]:
                    threads = targets[index]
                    if threads is None:
                        targets[index] = [thread]
                    else:
                        threads.append(thread)
            target = self._arrive(number, asked, tuple([frozenset(t) if t else _NOBODY for t in targets]))
            if target is not None:
                joined.setdefault(target, []).append(atom)
        end, _ = self._after(asked, tuple(ends))
        return end == self._true, joined

    def _arrive(self, number: int, asked: _Asked, subsets: tuple[Subset, ...]) -> Key | None:
        """The state of some threads, with what is settled put into the formula; None if that makes it false."""
        key = (number, subsets)
        if key in self._keys:
            return self._keys[key]
        known = tuple([self._status(operand, s) for operand, s in zip(asked.operands, subsets, strict=True)])
        found: Key | None = key
        if not known or any(status is not None for status in known):
            after, kept = self._after(asked, known)
            found = None if after == self._false else (after, tuple(subsets[index] for index in kept))
        self._keys[key] = found
        return found

    def _status(self, operand: Hashable, subset: Subset) -> bool | None:
        """False: no thread is left. True: one accepts every continuation (an accepting state's loop over all)."""
        if not subset:
            return False
        for thread in subset:
            answer = self._settled.get((operand, thread))
            if answer is None:
                accepting, moves = expand(self._operands[operand], (thread,))
                answer = self._settled[operand, thread] = accepting and (ANY, thread) in moves
            if answer:
                return True
        return None

    def _after(self, asked: _Asked, known: tuple[bool | None, ...]) -> tuple[int, tuple[int, ...]]:
        """The formula once some operands are settled, and which of them it still names."""
        found = asked.after.get(known)
        if found is None:
            values = {name: value for name, value in zip(asked.operands, known, strict=True) if value is not None}
            after = self._number(settle(asked.formula, values))
            kept = tuple(asked.operands.index(operand) for operand in self._asked[after].operands)
            found = asked.after[known] = (after, kept)
        return found

    def _number(self, formula: Formula) -> int:
        number = self._numbers.get(formula)
        if number is None:
            number = self._numbers[formula] = len(self._asked)
            self._asked.append(_Asked(formula))
        return number
