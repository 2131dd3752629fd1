"""A canvas that is slow and obvious: sets of matcher positions at the boundaries of slots, every token tried.

What the engine's canvas is compared with, and what stands in for it where vocabularies are small:

    before[0]   = {start}
    before[i+1] = {step(s, t) : s ∈ before[i], t a token that slot i may hold}
    alive[L]    = {s ∈ before[L] : the text is over, or may be over}
    alive[i]    = {s ∈ before[i] : step(s, t) ∈ alive[i+1] for some t that slot i may hold}

A position is interned and a step is a function, so a sequence of tokens takes exactly one way through the positions,
however ambiguous the grammar: sums over ways are sums over sequences of tokens. ENDED is one more position: behind a
stop token, where nothing but stop and pad tokens may stand.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from grammar_engine import CompiledGrammar, Matcher
from grammar_engine.diffusion.canvas import check_canvas
from grammar_engine.errors import InvalidArgumentError, UnsatisfiableGrammarError

State = Hashable
ENDED: State = "ended"


class Positions:
    """Where tokens lead, and a matcher at each position that was reached; canvases of one grammar may share it."""

    def __init__(self, compiled: CompiledGrammar) -> None:
        root = Matcher(compiled)
        self.start: State = root.position
        self._matchers: dict[State, Matcher] = {self.start: root}
        self._steps: dict[tuple[State, int], State | None] = {}

    def step(self, state: State, token: int) -> State | None:
        """The position behind a token, None where it cannot stand."""
        key = (state, token)
        if key not in self._steps:
            matcher = self._matchers[state].fork()
            if not matcher.accept_token(token):
                self._steps[key] = None
            elif matcher.is_terminated():
                self._steps[key] = ENDED
            else:
                self._matchers.setdefault(matcher.position, matcher)
                self._steps[key] = matcher.position
        return self._steps[key]

    def is_text(self, state: State) -> bool:
        """Whether the text may be over."""
        return state == ENDED or self._matchers[state].is_accepting()


class PlainCanvas:
    """The interface of ``grammar_engine.diffusion.Canvas``; see there."""

    def __init__(
        self,
        compiled: CompiledGrammar,
        token_ids: Sequence[int],
        *,
        mask_token_id: int,
        pad_token_id: int | None = None,
        positions: Positions | None = None,
    ) -> None:
        vocabulary = compiled.vocabulary
        check_canvas(vocabulary, token_ids, mask_token_id, pad_token_id)
        self._size = vocabulary.size
        self._stops = frozenset(vocabulary.stop_token_ids)
        self._tail = self._stops | ({pad_token_id} if pad_token_id is not None else set())
        self._mask = mask_token_id
        self._ids = [int(token) for token in token_ids]
        self._positions = positions or Positions(compiled)
        self._start = self._positions.start
        self._known: tuple[list[int], list[set[State]]] | None = None

    @property
    def token_ids(self) -> list[int]:
        """What stands in the slots, the mask where one is open."""
        return list(self._ids)

    @property
    def open_slots(self) -> list[int]:
        """The slots without a token."""
        return [slot for slot, token in enumerate(self._ids) if token == self._mask]

    def is_completable(self) -> bool:
        """Whether some filling of the open slots is a text."""
        return bool(self._alive()[0])

    def allowed(self, slot: int) -> npt.NDArray[np.int32]:
        """int32 ``(ceil(V/32),)``: the tokens for this slot with which the rest stays completable, as if open."""
        if not 0 <= slot < len(self._ids):
            raise IndexError(f"slot {slot} of {len(self._ids)}")
        row = np.zeros(32 * ((self._size + 31) // 32), np.uint8)
        held = self._ids[slot]
        self._ids[slot] = self._mask
        alive = self._alive()
        for state in alive[slot]:
            for token in self._choices(slot):
                if self._step(state, token) in alive[slot + 1]:
                    row[token] = 1
        self._ids[slot] = held
        return np.packbits(row, bitorder="little").view(np.int32)

    def commit(self, commits: Sequence[tuple[int, int]]) -> bool:
        """Fill open slots, all or none."""
        slots = [slot for slot, _ in commits]
        if len(set(slots)) < len(slots):
            raise InvalidArgumentError("a slot comes twice", argument="commits")
        for slot, token in commits:
            if not 0 <= slot < len(self._ids):
                raise IndexError(f"slot {slot} of {len(self._ids)}")
            if self._ids[slot] != self._mask:
                raise InvalidArgumentError(f"slot {slot} is not open", argument="commits")
            if not 0 <= token < self._size or token == self._mask:
                raise InvalidArgumentError(f"{token} cannot fill a slot", argument="commits")
        before = list(self._ids)
        for slot, token in commits:
            self._ids[slot] = token
        if self.is_completable():
            return True
        self._ids = before
        return False

    def best_completion(self, logps: npt.NDArray[Any]) -> tuple[list[int], float]:
        """The most probable filling and Σ of its log-probabilities over the open slots; logps: float ``(L, V)``."""
        alive = self._completable()
        best: dict[State, tuple[float, tuple[int, ...]]] = dict.fromkeys(alive[-1], (0.0, ()))
        for slot in reversed(range(len(self._ids))):
            best = {
                state: max(
                    (
                        (self._weight(logps, slot, token) + best[after][0], (token, *best[after][1]))
                        for token, after in self._ways(slot, state, alive)
                    ),
                    key=lambda found: found[0],
                )
                for state in alive[slot]
            }
        logp, token_ids = best[self._start]
        return list(token_ids), logp

    def sample(self, logps: npt.NDArray[Any], rng: np.random.Generator) -> tuple[list[int], float]:
        """A filling with probability in proportion to Π p, and the logarithm of the sum that it is a proportion of."""
        alive = self._completable()
        mass: list[dict[State, float]] = [dict.fromkeys(alive[-1], 0.0)]
        for slot in reversed(range(len(self._ids))):
            sums = {}
            for state in alive[slot]:
                ways = self._ways(slot, state, alive)
                sums[state] = _log_sum([self._weight(logps, slot, token) + mass[0][after] for token, after in ways])
            mass.insert(0, sums)
        state, token_ids = self._start, []
        total = mass[0][state]
        if total == -math.inf:
            raise UnsatisfiableGrammarError("every completion has probability 0", place="the canvas")
        for slot in range(len(self._ids)):
            ways = self._ways(slot, state, alive)
            weights = [self._weight(logps, slot, token) + mass[slot + 1][after] for token, after in ways]
            shares = np.exp(np.array(weights) - _log_sum(weights))
            token, state = ways[int(rng.choice(len(ways), p=shares / shares.sum()))]
            token_ids.append(token)
        return token_ids, total

    def fillings(self) -> Iterator[tuple[int, ...]]:
        """Every filling that is a text, each once."""
        alive = self._alive()

        def below(slot: int, state: State) -> Iterator[tuple[int, ...]]:
            if slot == len(self._ids):
                yield ()
                return
            for token, after in self._ways(slot, state, alive):
                for rest in below(slot + 1, after):
                    yield (token, *rest)

        if alive[0]:
            yield from below(0, self._start)

    # -- positions ------------------------------------------------------------------------------------------------

    def _choices(self, slot: int) -> Sequence[int]:
        held = self._ids[slot]
        return [token for token in range(self._size) if token != self._mask] if held == self._mask else [held]

    def _step(self, state: State, token: int) -> State | None:
        """The position behind a token, None where it cannot stand."""
        if state == ENDED:
            return ENDED if token in self._tail else None
        return self._positions.step(state, token)

    def _alive(self) -> list[set[State]]:
        """At each boundary the positions that lie on the way of some filling."""
        if self._known is None or self._known[0] != self._ids:
            self._known = list(self._ids), self._find_alive()
        return self._known[1]

    def _find_alive(self) -> list[set[State]]:
        before: list[set[State]] = [{self._start}]
        for slot in range(len(self._ids)):
            steps = (self._step(state, token) for state in before[slot] for token in self._choices(slot))
            before.append({state for state in steps if state is not None})
        alive = [{state for state in before[-1] if self._positions.is_text(state)}]
        for slot in reversed(range(len(self._ids))):
            choices = self._choices(slot)
            alive.insert(0, {s for s in before[slot] if any(self._step(s, t) in alive[0] for t in choices)})
        return alive

    def _completable(self) -> list[set[State]]:
        alive = self._alive()
        if not alive[0]:
            raise UnsatisfiableGrammarError("no filling of its open slots is a text", place="the canvas")
        return alive

    def _ways(self, slot: int, state: State, alive: list[set[State]]) -> list[tuple[int, State]]:
        steps = ((token, self._step(state, token)) for token in self._choices(slot))
        return [(token, after) for token, after in steps if after is not None and after in alive[slot + 1]]

    def _weight(self, logps: npt.NDArray[Any], slot: int, token: int) -> float:
        return float(logps[slot][token]) if self._ids[slot] == self._mask else 0.0


def _log_sum(weights: Sequence[float]) -> float:
    highest = max(weights)
    if highest == -math.inf:
        return highest
    return highest + math.log(sum(math.exp(weight - highest) for weight in weights))
