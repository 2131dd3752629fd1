"""The slots of a canvas and the boundaries between them: which are known, and what of them can be completed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from grammar_engine.compiler.canvas.automaton import OPEN

if TYPE_CHECKING:
    from grammar_engine.compiler.canvas.automaton import CanvasAutomaton


class Living(NamedTuple):
    """What of a boundary can be completed. part: of it, a boundary too. over: whether a text that is over there can be
    left so. token_sets: by which the slot behind leads on (numbers in ``CanvasAutomaton.lexemes.token_sets``).
    """

    part: int
    over: bool
    token_sets: tuple[int, ...]


class Line:
    """Slots, from left to right. What is asked of it is computed once; ``changed`` makes another that keeps what still
    holds. The caller holds the engine's lock.
    """

    def __init__(
        self,
        automaton: CanvasAutomaton,
        slots: Sequence[int],
        stops: frozenset[int],
        tail: frozenset[int],
        known: Sequence[tuple[int, bool]] = (),
    ) -> None:
        """slots: tokens, or OPEN. stops: tokens that end a text; tail: those that may follow. known: boundaries."""
        self.automaton = automaton
        self.slots = list(slots)
        self.stops = stops
        self.tail = tail
        self.boundaries = [boundary for boundary, _ in known] or [automaton.start]
        """Those that are known, from the first on."""
        self.ended = [ended for _, ended in known] or [False]
        """Whether a text may be over there, with a stop token before."""
        self._living: list[Living] | None = None

    def changed(self, changes: dict[int, int]) -> Line:
        """The same with other contents of some slots."""
        slots = list(self.slots)
        for slot, content in changes.items():
            slots[slot] = content
        same = min(changes) + 1
        known = list(zip(self.boundaries[:same], self.ended[:same], strict=True))
        return Line(self.automaton, slots, self.stops, self.tail, known)

    def is_completable(self) -> bool:
        """Whether some filling of the open slots is a text."""
        # Behind the last slot that holds a token of the text, any text that is over may stay so.
        slots = self.slots
        rest = len(slots)
        while rest and (slots[rest - 1] == OPEN or slots[rest - 1] in self.tail):
            rest -= 1
        for number in range(len(slots) + 1):
            self.go_to(number)
            if number < rest:
                if self.boundaries[number] == self.automaton.empty and not self.ended[number]:
                    return False
            elif self._may_end_at(number):
                return True
        return False

    def go_to(self, number: int) -> None:
        """Make boundaries known up to one of them."""
        while len(self.boundaries) <= number:
            last = len(self.boundaries) - 1
            slot = self.slots[last]
            boundary = self.boundaries[last]
            stays = slot == OPEN or slot in self.tail
            ended = (stays and self.ended[last]) or (self._may_stop(slot) and self.may_end(last))
            self.boundaries.append(self.automaton.step(boundary, slot))
            self.ended.append(ended)

    def _may_stop(self, slot: int) -> bool:
        return (slot == OPEN and bool(self.stops)) or slot in self.stops

    def may_end(self, number: int) -> bool:
        """Whether a text may end at a boundary."""
        return self.automaton.ends(self.boundaries[number]) != self.automaton.empty

    def _may_end_at(self, number: int) -> bool:
        """Whether a text may be over from a boundary on, where all slots behind hold stop or pad tokens or are open."""
        if self.ended[number]:
            return True
        if not self.may_end(number):
            return False
        return number == len(self.slots) or self._may_stop(self.slots[number])

    def living(self) -> list[Living]:
        """Of each boundary what can be completed."""
        if self._living is None:
            automaton = self.automaton
            last = len(self.slots)
            self.go_to(last)
            part, over = automaton.ends(self.boundaries[last]), self.ended[last]
            living = [Living(part, over, ())]
            for number in reversed(range(last)):
                slot, boundary = self.slots[number], self.boundaries[number]
                part, token_sets = automaton.alive(boundary, slot, part)
                if over and self._may_stop(slot):
                    part = automaton.join(part, automaton.ends(boundary))
                over = over and self.ended[number] and (slot == OPEN or slot in self.tail)
                living.append(Living(part, over, token_sets))
            self._living = living[::-1]
        return self._living
