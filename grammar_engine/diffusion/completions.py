"""Completions of a canvas under independent log-probabilities of its slots: the best one, exact draws, their mass.

A text walks through boundaries of its own (``CanvasAutomaton.step`` by one token after another), one way for each
sequence of tokens: so a sum over ways is a sum over sequences of tokens, however ambiguous the grammar is. Tokens that
lead a boundary into the same living part of the next are one class.

    best     A* (Hart, Nilsson and Raphael 1968) from the first slot on; what slots to come can at most give is the
             largest log-probability of a token that is allowed there
    draw     mass[i, b] := log Σ over classes of (Σ p of the class · mass[i + 1, b']), from the last slot to the first,
             then forwards by those masses. Where there are more boundaries than ``max_boundaries``: token by token
             among those that can be completed, with the weight Π Z (properly weighted, see docs/sampling.md)
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from grammar_engine.compiler.canvas.automaton import OPEN
from grammar_engine.errors import LimitExceededError, UnsatisfiableGrammarError

if TYPE_CHECKING:
    from grammar_engine.compiler.canvas.automaton import CanvasAutomaton

Int32Array = npt.NDArray[np.int32]
Logps = npt.NDArray[np.floating[Any]]
_Layer = dict[int, list[tuple[Int32Array, int]]]
_Masses = dict[int, list[tuple[Int32Array, int, float]]]

ENDED = -1
"""In place of a boundary: the text is over."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Course:
    """A canvas made ready: what each slot holds, and what of each boundary between slots can be completed.

    alive, over: per boundary, the living part, and whether a text that is over there can stay so. allowed: per slot the
    tokens that may stand there. stops: end a text; tail: may follow a stop.
    """

    automaton: CanvasAutomaton
    slots: Sequence[int]
    alive: Sequence[int]
    over: Sequence[bool]
    allowed: Sequence[Int32Array]
    stops: Int32Array
    tail: Int32Array

    def classes(self, slot: int, boundary: int) -> Iterator[tuple[Int32Array, int]]:
        """Tokens that a slot may hold behind a boundary, by the boundary that they lead to."""
        held = self.slots[slot]
        is_open = held == OPEN
        if boundary == ENDED:
            if self.over[slot + 1]:
                yield (self.tail if is_open else np.array([held], np.int32)), ENDED
            return
        automaton = self.automaton
        token_sets = automaton.tokens(boundary, held, self.alive[slot + 1])
        sets = [automaton.lexemes.token_sets[number] for number in token_sets]
        for tokens in _partition(sets):
            yield tokens, automaton.step(boundary, int(tokens[0]))
        if self.over[slot + 1] and automaton.ends(boundary) != automaton.empty:
            if is_open and len(self.stops):
                yield self.stops, ENDED
            elif not is_open and held in self.stops:
                yield np.array([held], np.int32), ENDED


def _partition(sets: Sequence[Int32Array]) -> list[Int32Array]:
    """The tokens of several sets, those together that are in the same ones. (A set may list a token twice.)"""
    if len(sets) <= 1:
        return [np.unique(tokens) for tokens in sets]
    # Sets apart from each other, as most are, are classes as they stand.
    sets = [np.unique(tokens) for tokens in sets]
    together = np.concatenate(sets)
    distinct, where = np.unique(together, return_inverse=True)
    if len(distinct) == len(together):
        return list(sets)
    kind = np.zeros(len(distinct), np.int64)
    at = 0
    for tokens in sets:
        inside = np.zeros(len(distinct), np.int64)
        inside[where[at : at + len(tokens)]] = 1
        at += len(tokens)
        _, kind = np.unique(2 * kind + inside, return_inverse=True)
    order = np.argsort(kind, kind="stable")
    return np.split(distinct[order], np.flatnonzero(np.diff(kind[order])) + 1)


def _row(course: Course, logps: Logps, slot: int) -> Logps | None:
    """The log-probabilities of an open slot; None for one that holds a token, which counts as given."""
    return logps[slot] if course.slots[slot] == OPEN else None


def best(course: Course, logps: Logps, max_boundaries: int) -> tuple[list[int], float]:
    """The most probable filling, and its log-probability."""
    last = len(course.slots)
    ahead = [0.0] * (last + 1)
    for slot in reversed(range(last)):
        row = _row(course, logps, slot)
        most = 0.0 if row is None else float(row[course.allowed[slot]].max(initial=-math.inf))
        ahead[slot] = ahead[slot + 1] + most
    start = course.automaton.start
    found: dict[tuple[int, int], tuple[float, tuple[int, int], int]] = {}
    reached = {(0, start): 0.0}
    pending = [(-ahead[0], 0, start)]
    done: set[tuple[int, int]] = set()
    while pending:
        bound, negative, boundary = heapq.heappop(pending)
        slot = -negative
        place = (slot, boundary)
        if place in done:
            continue
        done.add(place)
        if bound == math.inf:
            break
        if slot == last:
            return _way_back(found, place), reached[place]
        if len(done) > max_boundaries:
            raise LimitExceededError(
                "the best completion of this canvas was not found",
                limit=f"max_boundaries {max_boundaries}",
                given="more",
            )
        row = _row(course, logps, slot)
        for tokens, after in course.classes(slot, boundary):
            token = int(tokens[0]) if row is None else int(tokens[np.argmax(row[tokens])])
            value = reached[place] + (0.0 if row is None else float(row[token]))
            then = (slot + 1, after)
            if value > reached.get(then, -math.inf):
                reached[then] = value
                found[then] = (value, place, token)
                heapq.heappush(pending, (-(value + ahead[slot + 1]), -(slot + 1), after))
    raise UnsatisfiableGrammarError("every completion has probability 0", place="the canvas")


def _way_back(found: dict[tuple[int, int], tuple[float, tuple[int, int], int]], place: tuple[int, int]) -> list[int]:
    tokens = []
    while place[0]:
        _, place, token = found[place]
        tokens.append(token)
    return tokens[::-1]


class Fillings:
    """All fillings of a canvas, each with its probability; made once, drawn from often. Without state.

    log_mass: the logarithm of the mass of all; −inf if none has a probability above 0.
    """

    def __init__(self, course: Course, logps: Logps, layers: Sequence[_Layer]) -> None:
        """layers: from ``_layers``."""
        self._start = course.automaton.start
        self._rows = [_row(course, logps, slot) for slot in range(len(course.slots))]
        self._ways: list[_Masses] = [
            {
                boundary: [(tokens, after, _class_mass(row, tokens)) for tokens, after in ways]
                for boundary, ways in layer.items()
            }
            for row, layer in zip(self._rows, layers, strict=False)
        ]
        self._mass: list[dict[int, float]] = [dict.fromkeys(layers[-1], 0.0)]
        for layer in reversed(self._ways):
            self._mass.insert(0, _behind(layer, self._mass[0]))
        self.log_mass = self._mass[0][self._start]

    def draw(self, rng: np.random.Generator) -> list[int]:
        """A filling, in proportion to its probability. ``log_mass`` must be finite."""
        boundary = self._start
        chosen = []
        for slot, layer in enumerate(self._ways):
            row, mass = self._rows[slot], self._mass[slot + 1]
            ways = layer[boundary]
            which = _choose([share + mass[after] for _, after, share in ways], rng)
            tokens, boundary, _ = ways[which]
            chosen.append(int(tokens[0]) if row is None else int(tokens[_choose(row[tokens], rng)]))
        return chosen

    def log_mass_given(self, chosen: Mapping[int, int]) -> float:
        """Of the fillings with these tokens in these slots, the log-mass of what the other slots hold.

        chosen: slot → token, of slots that were open; at least one.
        """
        last = max(chosen)
        mass = self._mass[last + 1]
        for slot in range(last, -1, -1):
            layer = self._ways[slot]
            if slot in chosen:
                token = chosen[slot]
                layer = {
                    boundary: [(tokens, after, 0.0) for tokens, after, _ in ways if _holds(tokens, token)]
                    for boundary, ways in layer.items()
                }
            mass = _behind(layer, mass)
        return mass[self._start]


def fillings(course: Course, logps: Logps, max_boundaries: int) -> Fillings | None:
    """All fillings, or None where there are more boundaries than ``max_boundaries``."""
    layers = _layers(course, max_boundaries)
    return None if layers is None else Fillings(course, logps, layers)


def draw(course: Course, logps: Logps, rng: np.random.Generator, max_boundaries: int) -> tuple[list[int], float]:
    """A filling, and the logarithm of its weight: that of the mass of all fillings, where it can be had exactly."""
    known = fillings(course, logps, max_boundaries)
    if known is None:
        return _draw_in_turn(course, logps, rng)
    if known.log_mass == -math.inf:
        raise UnsatisfiableGrammarError("every completion has probability 0", place="the canvas")
    return known.draw(rng), known.log_mass


def _behind(
    layer: Mapping[int, Sequence[tuple[Int32Array, int, float]]], mass: Mapping[int, float]
) -> dict[int, float]:
    """Log-masses at the boundaries before a slot, from those behind it."""
    return {boundary: _log_sum([share + mass[after] for _, after, share in ways]) for boundary, ways in layer.items()}


def _holds(tokens: Int32Array, token: int) -> bool:
    at = int(np.searchsorted(tokens, token))
    return at < len(tokens) and int(tokens[at]) == token


def _layers(course: Course, max_boundaries: int) -> list[_Layer] | None:
    """Per slot the boundaries that texts reach, with their classes; behind the last those that are reached then. None:
    there are too many.
    """
    layers: list[_Layer] = []
    reached = {course.automaton.start: None}
    count = 0
    for slot in range(len(course.slots)):
        count += len(reached)
        if count > max_boundaries:
            return None
        layers.append({boundary: list(course.classes(slot, boundary)) for boundary in reached})
        reached = {after: None for ways in layers[-1].values() for _, after in ways}
    layers.append({boundary: [] for boundary in reached})
    return layers


def _draw_in_turn(course: Course, logps: Logps, rng: np.random.Generator) -> tuple[list[int], float]:
    boundary = course.automaton.start
    chosen: list[int] = []
    weight = 0.0
    for slot in range(len(course.slots)):
        row = _row(course, logps, slot)
        ways = list(course.classes(slot, boundary))
        masses = [_class_mass(row, tokens) for tokens, _ in ways]
        total = _log_sum(masses)
        weight += total
        if total == -math.inf:  # a filling all the same, of no weight
            tokens, boundary = ways[0]
            chosen.append(int(tokens[0]))
            continue
        tokens, boundary = ways[_choose(masses, rng)]
        chosen.append(int(tokens[0]) if row is None else int(tokens[_choose(row[tokens], rng)]))
    return chosen, weight


def _class_mass(row: Logps | None, tokens: Int32Array) -> float:
    return 0.0 if row is None else _log_sum(row[tokens])


def _choose(weights: Sequence[float] | Logps, rng: np.random.Generator) -> int:
    """An index with probability in proportion to exp of its weight."""
    shares = np.asarray(weights, np.float64)
    shares = np.exp(shares - shares.max())
    return int(np.searchsorted(np.cumsum(shares), rng.random() * shares.sum(), side="right").clip(0, len(shares) - 1))


def _log_sum(weights: Sequence[float] | Logps) -> float:
    values = np.asarray(weights, np.float64)
    highest = float(values.max(initial=-math.inf))
    return highest if highest == -math.inf else highest + math.log(float(np.exp(values - highest).sum()))
