"""Canvases: slots of which some hold tokens and some are open, and what may fill them, exactly.

    canvas = Canvas(compiled, [mask] * 32, mask_token_id=mask)
    canvas.allowed(5)                       # the tokens of slot 5 with which the rest can be completed
    canvas.commit([(5, token), (9, other)]) # both or none

A canvas is completable if some filling of its open slots, one token each, spells a text of the language. The text may
end before the last slot: then a stop token follows, and after it only stop and pad tokens.

The work is done by ``compiler.canvas.automaton``: one interned state per boundary between slots. A canvas holds their
numbers; after a commit it steps on from the first slot that changed, and stops where the old numbers come again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from grammar_engine.compiler.canvas.automaton import OPEN, CanvasAutomaton
from grammar_engine.diffusion.completions import Course, Logps, best, draw
from grammar_engine.errors import InvalidArgumentError, UnsatisfiableGrammarError

if TYPE_CHECKING:
    from grammar_engine.compiler.compiled import CompiledGrammar

Int32Array = npt.NDArray[np.int32]

MAX_BOUNDARIES = 4096
"""Places that completions look at, if no other number is asked for."""
_NO_TOKENS = np.zeros(0, np.int32)


class Canvas:
    """L slots over one grammar. Not to be shared by threads; what canvases of one grammar learn is shared.

    Args:
        compiled: the grammar.
        token_ids: length L; ``mask_token_id`` where a slot is open.
        mask_token_id: a token without bytes that texts do not have.
        pad_token_id: may follow a stop token, as any stop token may.

    Raises:
        InvalidArgumentError: no slots; an id outside of the vocabulary; a mask that is text, or ends texts.
        UnsupportedGrammarError: the grammar cannot be followed on canvases (see docs/diffusion.md).
    """

    def __init__(
        self,
        compiled: CompiledGrammar,
        token_ids: Sequence[int],
        *,
        mask_token_id: int,
        pad_token_id: int | None = None,
    ) -> None:
        vocabulary = compiled.vocabulary
        if not len(token_ids):
            raise InvalidArgumentError("a canvas needs at least one slot", argument="token_ids")
        for name, given in (("mask_token_id", mask_token_id), ("pad_token_id", pad_token_id)):
            if given is not None and not 0 <= given < vocabulary.size:
                raise InvalidArgumentError(f"{given} is no id of {vocabulary.size}", argument=name)
        if vocabulary.tokens[mask_token_id] is not None or mask_token_id in vocabulary.stop_token_ids:
            raise InvalidArgumentError("the mask is a token of texts, or ends them", argument="mask_token_id")
        if mask_token_id == pad_token_id:
            raise InvalidArgumentError("mask and pad are the same token", argument="pad_token_id")
        for token in token_ids:
            if not 0 <= token < vocabulary.size:
                raise InvalidArgumentError(f"{token} is no id of {vocabulary.size}", argument="token_ids")
        self._compiled = compiled
        self._size = vocabulary.size
        self._mask = mask_token_id
        self._stops = frozenset(vocabulary.stop_token_ids)
        self._tail = self._stops | ({pad_token_id} if pad_token_id is not None else set())
        self._automaton = CanvasAutomaton(compiled.engine)
        self._slots = [OPEN if token == mask_token_id else int(token) for token in token_ids]
        self._boundaries = [self._automaton.start]
        """Those that are known, from the first on."""
        self._ended = [False]
        self._alive: list[tuple[int, bool, tuple[int, ...]]] | None = None

    @property
    def token_ids(self) -> list[int]:
        """What stands in the slots, the mask where one is open."""
        return [self._mask if slot == OPEN else slot for slot in self._slots]

    @property
    def open_slots(self) -> list[int]:
        """The slots without a token."""
        return [number for number, slot in enumerate(self._slots) if slot == OPEN]

    # -- the check ------------------------------------------------------------------------------------------------

    def is_completable(self) -> bool:
        """Whether some filling of the open slots is a text."""
        with self._automaton.engine.lock:
            return self._check()

    def _check(self) -> bool:
        # Behind the last slot that holds a token of the text, any text that is over may stay so.
        slots = self._slots
        rest = len(slots)
        while rest and (slots[rest - 1] == OPEN or slots[rest - 1] in self._tail):
            rest -= 1
        for number in range(len(slots) + 1):
            self._go_to(number)
            if number < rest:
                if self._boundaries[number] == self._automaton.empty and not self._ended[number]:
                    return False
            elif self._may_end_at(number):
                return True
        return False

    def _go_to(self, number: int) -> None:
        """Make boundaries known up to one of them."""
        while len(self._boundaries) <= number:
            last = len(self._boundaries) - 1
            slot = self._slots[last]
            boundary = self._boundaries[last]
            stays = slot == OPEN or slot in self._tail
            ends = (slot == OPEN and bool(self._stops)) or slot in self._stops
            ended = (stays and self._ended[last]) or (ends and self._ends(boundary))
            self._boundaries.append(self._automaton.step(boundary, slot))
            self._ended.append(ended)

    def _ends(self, boundary: int) -> bool:
        return self._automaton.ends(boundary) != self._automaton.empty

    def _may_end_at(self, number: int) -> bool:
        """Whether the text may be over at a boundary, if all slots behind it are open or hold stop and pad tokens."""
        if self._ended[number]:
            return True
        if not self._ends(self._boundaries[number]):
            return False
        if number == len(self._slots):
            return True
        slot = self._slots[number]
        return bool(self._stops) and (slot == OPEN or slot in self._stops)

    # -- masks ----------------------------------------------------------------------------------------------------

    def allowed(self, slot: int) -> Int32Array:
        """int32 ``(ceil(V/32),)``, packed: the tokens with which this slot leaves the canvas completable.

        Of a slot that holds a token: those that could stand there instead. Raises IndexError where there is no slot.
        """
        if not 0 <= slot < len(self._slots):
            raise IndexError(f"slot {slot} of {len(self._slots)}")
        if self._slots[slot] != OPEN:
            other = self._with({slot: OPEN})
            return other.allowed(slot)
        with self._automaton.engine.lock:
            alive = self._backwards()
            row = np.zeros((self._size + 31) // 32, np.uint32)
            for token_set in alive[slot][2]:
                _set_tokens(row, self._automaton.lexemes.token_sets[token_set])
            if alive[slot + 1][1]:
                if self._ended[slot]:
                    _set_tokens(row, np.array(sorted(self._tail), np.int32))
                elif self._ends(self._boundaries[slot]):
                    _set_tokens(row, np.array(sorted(self._stops), np.int32))
            return row.view(np.int32)

    def _backwards(self) -> list[tuple[int, bool, tuple[int, ...]]]:
        """Of each boundary the part that can be completed, whether a text that is over there can, and the token sets of
        the slot behind it."""
        if self._alive is None:
            automaton = self._automaton
            last = len(self._slots)
            self._go_to(last)
            part, over = automaton.ends(self._boundaries[last]), self._ended[last]
            alive: list[tuple[int, bool, tuple[int, ...]]] = [(part, over, ())]
            for number in reversed(range(last)):
                slot, boundary = self._slots[number], self._boundaries[number]
                part, tokens = automaton.alive(boundary, slot, part)
                if over and (slot == OPEN or slot in self._stops):
                    part = automaton.join(part, automaton.ends(boundary))
                over = over and self._ended[number] and (slot == OPEN or slot in self._tail)
                alive.append((part, over, tokens))
            self._alive = alive[::-1]
        return self._alive

    # -- completions ----------------------------------------------------------------------------------------------

    def best_completion(self, logps: Logps, *, max_boundaries: int = MAX_BOUNDARIES) -> tuple[list[int], float]:
        """The filling of the open slots that is most probable, and its log-probability (that of open slots, summed).

        Args:
            logps: float ``(L, V)``, natural logarithms; rows of slots that hold a token do not matter.
            max_boundaries: places (a slot and what a text has come to) that are looked at.

        Raises:
            UnsatisfiableGrammarError: no filling is a text, or none with a probability above 0.
            LimitExceededError: there are more places than ``max_boundaries`` to look at.
        """
        with self._automaton.engine.lock:
            return best(self._course(logps), logps, max_boundaries)

    def sample(
        self, logps: Logps, rng: np.random.Generator, *, max_boundaries: int = MAX_BOUNDARIES
    ) -> tuple[list[int], float]:
        """A filling x with its log-weight: the mean of exp(log-weight) · f(x) is Σ p(x) f(x) over all fillings.

        Where texts come to at most ``max_boundaries`` places, draws are exact: x has probability p(x)/Z, and the weight
        is always Z, the mass of all fillings. Else tokens are drawn from left to right among those that can be completed,
        and weights vary.

        Args and errors: as for ``best_completion``, which alone meets the limit.
        """
        with self._automaton.engine.lock:
            return draw(self._course(logps), logps, rng, max_boundaries)

    def _course(self, logps: Logps) -> Course:
        if logps.shape != (len(self._slots), self._size):
            given, wanted = logps.shape, (len(self._slots), self._size)
            raise InvalidArgumentError(f"its shape is {given}, but the canvas is {wanted}", argument="logps")
        if not self._check():
            raise UnsatisfiableGrammarError("no filling of its open slots is a text", place="the canvas")
        alive = self._backwards()
        slots = range(len(self._slots))
        return Course(
            automaton=self._automaton,
            slots=self._slots,
            alive=[part for part, _, _ in alive],
            over=[over for _, over, _ in alive],
            allowed=[_tokens_of(self.allowed(slot)) if self._slots[slot] == OPEN else _NO_TOKENS for slot in slots],
            stops=np.array(sorted(self._stops), np.int32),
            tail=np.array(sorted(self._tail), np.int32),
        )

    # -- commits --------------------------------------------------------------------------------------------------

    def commit(self, commits: Iterable[tuple[int, int]]) -> bool:
        """Fill open slots with tokens, ``(slot, token)``, all or none: False, and nothing changed, if the canvas would
        not be completable.

        Raises:
            IndexError: there is no such slot.
            InvalidArgumentError: a slot comes twice or is not open, a token is none or the mask.
        """
        chosen: dict[int, int] = {}
        for slot, token in commits:
            if not 0 <= slot < len(self._slots):
                raise IndexError(f"slot {slot} of {len(self._slots)}")
            if slot in chosen:
                raise InvalidArgumentError(f"slot {slot} comes twice", argument="commits")
            if self._slots[slot] != OPEN:
                raise InvalidArgumentError(f"slot {slot} is not open", argument="commits")
            if not 0 <= token < self._size or token == self._mask:
                raise InvalidArgumentError(f"{token} cannot fill a slot", argument="commits")
            chosen[int(slot)] = int(token)
        if not chosen:
            return self.is_completable()
        other = self._with(chosen)
        if not other.is_completable():
            return False
        self._slots, self._boundaries, self._ended = other._slots, other._boundaries, other._ended
        self._alive = None
        return True

    def _with(self, changes: dict[int, int]) -> Canvas:
        """The same canvas with other contents of some slots."""
        other = Canvas.__new__(Canvas)
        other.__dict__.update(self.__dict__)
        other._slots = list(self._slots)
        for slot, token in changes.items():
            other._slots[slot] = token
        known = min(changes) + 1
        other._boundaries = self._boundaries[:known]
        other._ended = self._ended[:known]
        other._alive = None
        return other


def _tokens_of(row: Int32Array) -> Int32Array:
    return np.flatnonzero(np.unpackbits(row.view(np.uint8), bitorder="little")).astype(np.int32)


def _set_tokens(row: npt.NDArray[np.uint32], tokens: Int32Array) -> None:
    np.bitwise_or.at(row, tokens >> 5, np.uint32(1) << (tokens & 31).astype(np.uint32))
