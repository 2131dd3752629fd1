"""Canvases: slots of which some hold tokens and some are open, and what may fill them, exactly.

    canvas = Canvas(compiled, [mask] * 32, mask_token_id=mask)
    canvas.allowed(5)                       # the tokens of slot 5 with which the rest can be completed
    canvas.commit([(5, token), (9, other)]) # both or none

A canvas is completable if some filling of its open slots, one token each, spells a text of the language. The text may
end before the last slot: then a stop token follows, and after it only stop and pad tokens.

What holds of a text beside its rules (``compiler.guard``: no object has two properties of one name, items that differ
where rules cannot tell) is asked of the tokens before the first open slot, no further: a canvas whose rest can only
repeat a name still counts as completable, but no text that does is ever filled in.

The work is done by ``compiler.canvas.automaton``: one interned state per boundary between slots. A canvas holds their
numbers; after a commit it steps on from the first slot that changed, and stops where the old numbers come again.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from grammar_engine.compiler.canvas.automaton import OPEN
from grammar_engine.diffusion.completions import Course, Fillings, Logps, best, draw, fillings
from grammar_engine.diffusion.line import Line
from grammar_engine.errors import InvalidArgumentError, UnsatisfiableGrammarError, UnsupportedGrammarError
from grammar_engine.matcher import Matcher

if TYPE_CHECKING:
    from grammar_engine.compiler.compiled import CompiledGrammar
    from grammar_engine.compiler.vocabulary import Vocabulary

Int32Array = npt.NDArray[np.int32]

MAX_BOUNDARIES = 4096
"""Places that completions look at, if no other number is asked for."""
_NO_TOKENS = np.zeros(0, np.int32)


def check_canvas(
    vocabulary: Vocabulary, token_ids: Sequence[int], mask_token_id: int, pad_token_id: int | None
) -> None:
    """Refuse, with InvalidArgumentError, what cannot be a canvas over a vocabulary (see ``Canvas``)."""
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


class Canvas:
    """L slots over one grammar. Not to be shared by threads; what canvases of one grammar learn is shared.

    Args:
        compiled: the grammar.
        token_ids: length L; ``mask_token_id`` where a slot is open.
        mask_token_id: a token without bytes that texts do not have.
        pad_token_id: may follow a stop token, as any stop token may.

    Raises:
        InvalidArgumentError: no slots; an id outside of the vocabulary; a mask that is text, or ends texts.
        UnsupportedGrammarError: the grammar cannot be followed on canvases (see docs/canvas.md).
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
        check_canvas(vocabulary, token_ids, mask_token_id, pad_token_id)
        if compiled.closing_ids:
            raise UnsupportedGrammarError(
                "a canvas of a structural tag that names a stop token",
                place="where the tag has it, it is text and an end at once",
                advice="Leave the stop token out of the tag: a canvas ends texts with one anyway.",
            )
        self._compiled = compiled
        self._size = vocabulary.size
        self._mask = mask_token_id
        stops = frozenset(vocabulary.stop_token_ids)
        tail = stops if pad_token_id is None else stops | {pad_token_id}
        slots = [OPEN if token == mask_token_id else int(token) for token in token_ids]
        self._line = Line(compiled.canvas_automaton(), slots, stops, tail)
        self._lock = self._line.automaton.engine.lock

    @property
    def token_ids(self) -> list[int]:
        """What stands in the slots, the mask where one is open."""
        return [self._mask if slot == OPEN else slot for slot in self._line.slots]

    @property
    def open_slots(self) -> list[int]:
        """The slots without a token."""
        return [number for number, slot in enumerate(self._line.slots) if slot == OPEN]

    def is_completable(self) -> bool:
        """Whether some filling of the open slots is a text."""
        return self._is_completable(self._line, 0)

    def _is_completable(self, line: Line, behind: int) -> bool:
        with self._lock:
            if not line.is_completable(behind):
                return False
        return self._compiled.guard is None or self._is_admitted(line)

    def _is_admitted(self, line: Line) -> bool:
        """Whether guards (``compiler.guard``) admit what stands before the first open slot."""
        matcher = Matcher(self._compiled)
        for slot in line.slots:
            if slot == OPEN:
                return True
            if slot in line.stops:
                break
            if not matcher.accept_token(slot):
                return False
        return matcher.is_accepting()

    def allowed(self, slot: int) -> Int32Array:
        """int32 ``(ceil(V/32),)``, packed: the tokens with which this slot leaves the canvas completable.

        Of a slot that holds a token: those that could stand there instead. Raises IndexError where there is no slot.
        """
        line = self._line
        if not 0 <= slot < len(line.slots):
            raise IndexError(f"slot {slot} of {len(line.slots)}")
        if line.slots[slot] != OPEN:
            line = line.changed({slot: OPEN})
        with self._lock:
            behind = line.living(slot + 1)
            line.go_to(slot)
            token_sets = line.automaton.tokens(line.boundaries[slot], OPEN, behind.part)
            others = frozenset[int]()
            if behind.over:
                others = line.tail if line.ended[slot] else line.stops if line.may_end(slot) else others
            return line.automaton.lexemes.row_of(token_sets, others, self._size)

    def best_completion(self, logps: Logps, *, max_boundaries: int = MAX_BOUNDARIES) -> tuple[list[int], float]:
        """The filling of the open slots that is most probable, and its log-probability (that of open slots, summed).

        Args:
            logps: float ``(L, V)``, natural logarithms; rows of slots that hold a token do not matter.
            max_boundaries: places (a slot and what a text has come to) that are looked at.

        Raises:
            UnsatisfiableGrammarError: no filling is a text, or none with a probability above 0.
            LimitExceededError: there are more places than ``max_boundaries`` to look at.
        """
        with self._lock:
            return best(self._course(logps), logps, max_boundaries)

    def sample(
        self, logps: Logps, rng: np.random.Generator, *, max_boundaries: int = MAX_BOUNDARIES
    ) -> tuple[list[int], float]:
        """A filling x with its log-weight: the mean of exp(log-weight) · f(x) is Σ p(x) f(x) over all fillings.

        Where texts come to at most ``max_boundaries`` places, draws are exact: x has probability p(x)/Z, and the weight
        is always Z, the mass of all fillings. Else tokens are drawn from left to right among those that can be
        completed, and weights vary.

        Args and errors: as for ``best_completion``, which alone meets the limit.
        """
        with self._lock:
            return draw(self._course(logps, masks=False), logps, rng, max_boundaries)

    def fillings(self, logps: Logps, *, max_boundaries: int = MAX_BOUNDARIES) -> Fillings | None:
        """All fillings with their mass, to draw from more than once; None where ``sample`` would not be exact.

        They stay what they are when the canvas changes. Args and errors: as for ``best_completion``, but that all have
        probability 0 is no error.
        """
        with self._lock:
            return fillings(self._course(logps, masks=False), logps, max_boundaries)

    def fork(self) -> Canvas:
        """Another canvas with the same slots; what happens to one does not change the other."""
        return copy.copy(self)  # (a commit replaces the line)

    def _course(self, logps: Logps, *, masks: bool = True) -> Course:
        """masks: whether ``allowed`` is needed."""
        line = self._line
        wanted = (len(line.slots), self._size)
        if logps.shape != wanted:
            raise InvalidArgumentError(f"its shape is {logps.shape}, but the canvas is {wanted}", argument="logps")
        if not line.is_completable():
            raise UnsatisfiableGrammarError("no filling of its open slots is a text", place="the canvas")
        living = [line.living(number) for number in range(len(line.slots), -1, -1)][::-1]
        return Course(
            automaton=line.automaton,
            slots=line.slots,
            alive=[place.part for place in living],
            over=[place.over for place in living],
            allowed=[
                _tokens_of(self.allowed(slot)) if masks and held == OPEN else _NO_TOKENS
                for slot, held in enumerate(line.slots)
            ],
            stops=_ascending(line.stops),
            tail=_ascending(line.tail),
        )

    def commit(self, commits: Iterable[tuple[int, int]]) -> bool:
        """Fill open slots with tokens, ``(slot, token)``, all or none: False, and nothing changed, if the canvas would
        not be completable.

        Raises:
            IndexError: there is no such slot.
            InvalidArgumentError: a slot comes twice or is not open, a token is none or the mask.
        """
        chosen: dict[int, int] = {}
        for slot, token in commits:
            if not 0 <= slot < len(self._line.slots):
                raise IndexError(f"slot {slot} of {len(self._line.slots)}")
            if slot in chosen:
                raise InvalidArgumentError(f"slot {slot} comes twice", argument="commits")
            if self._line.slots[slot] != OPEN:
                raise InvalidArgumentError(f"slot {slot} is not open", argument="commits")
            if not 0 <= token < self._size or token == self._mask:
                raise InvalidArgumentError(f"{token} cannot fill a slot", argument="commits")
            chosen[int(slot)] = int(token)
        if not chosen:
            return self.is_completable()
        line = self._line.changed(chosen)
        if not self._is_completable(line, max(chosen) + 1):
            return False
        self._line = line
        return True


def _tokens_of(row: Int32Array) -> Int32Array:
    return np.flatnonzero(np.unpackbits(row.view(np.uint8), bitorder="little")).astype(np.int32)


def _ascending(tokens: frozenset[int]) -> Int32Array:
    return np.array(sorted(tokens), np.int32)
