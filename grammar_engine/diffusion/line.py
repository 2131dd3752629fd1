"""The slots of a canvas and the boundaries between them: which are known, and what of them can be completed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from grammar_engine.compiler.canvas.automaton import OPEN, EndlessError

if TYPE_CHECKING:
    from grammar_engine.compiler.canvas.automaton import CanvasAutomaton


MANY_NODES = 4000
"""New sets of stacks from which on a check goes on from the other end."""
MOST_PASSES = 4
"""Rounds of wide steps in which more and more comes to light, after which exact steps are taken instead."""


class Living(NamedTuple):
    """What of a boundary can be completed. part: a boundary too, of stacks that need not have been reached. over:
    whether a text that is over there can be left so: all slots behind hold stop or pad tokens or are open.
    """

    part: int
    over: bool


class Line:
    """Slots, from left to right. The caller holds the engine's lock.

    Boundaries are known from the first on, as far as was asked for; what can be completed is known from the last on,
    for wide boundaries (``CanvasAutomaton.wide``) that steps from the last exact one lead to. A change of some slots
    leaves the boundaries before them and what can be completed behind them as they are, so it costs the steps between
    the first and the last of them.
    """

    def __init__(
        self, automaton: CanvasAutomaton, slots: Sequence[int], stops: frozenset[int], tail: frozenset[int]
    ) -> None:
        """slots: tokens, or OPEN. stops: tokens that end a text; tail: those that may follow."""
        self.automaton = automaton
        self.slots = list(slots)
        self.stops = stops
        self.tail = tail
        self.boundaries = [automaton.start]
        """Those that are known, from the first on."""
        self.ended = [False]
        """Whether a text may be over there, with a stop token before."""
        self._wide: list[int] = []
        """All boundaries, wide; or none."""
        self._living: dict[int, Living] = {}

    def changed(self, changes: Mapping[int, int]) -> Line:
        """The same with other contents of some slots."""
        other = Line(self.automaton, self.slots, self.stops, self.tail)
        for slot, content in changes.items():
            other.slots[slot] = content
        first, last = min(changes), max(changes)
        other.boundaries = self.boundaries[: first + 1]
        other.ended = self.ended[: first + 1]
        if all(self.slots[slot] == OPEN for slot in changes):  # (then nothing new is reached behind)
            other._wide = self._wide
            other._living = {n: living for n, living in self._living.items() if n > last}
        return other

    def is_completable(self, behind: int = 0) -> bool:
        """Whether some filling of the open slots is a text. behind: a boundary behind all that has changed, if what can
        be completed there may be known.
        """
        if behind in self._living:
            return self._meets(behind)
        # Behind the last slot that holds a token of the text, any text that is over may stay so.
        slots = self.slots
        rest = len(slots)
        while rest and (slots[rest - 1] == OPEN or slots[rest - 1] in self.tail):
            rest -= 1
        few = self.automaton.num_nodes + MANY_NODES
        for number in range(len(slots) + 1):
            self.go_to(number)
            if number < rest:
                if self.boundaries[number] == self.automaton.empty and not self.ended[number]:
                    return False
                if self.automaton.num_nodes > few and self.automaton.can_be_wide:
                    return self._meets(number)
            elif self._may_end_at(number):
                return True
        return False

    def _meets(self, number: int) -> bool:
        """Whether anything of a boundary can be completed."""
        living = self.living(number)
        self.go_to(number)
        if living.over and self.ended[number]:
            return True
        return self.automaton.meets(self.boundaries[number], living.part)

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

    def living(self, number: int) -> Living:
        """What of a boundary can be completed."""
        if number not in self._living:
            try:
                self._go_back(number)
            except EndlessError:
                self._living.clear()
                self._wide = []
                self._go_back(number)
        return self._living[number]

    def _go_back(self, number: int) -> None:
        automaton = self.automaton
        last = len(self.slots)
        self._widen()
        if not self._living:
            self._living[last] = Living(automaton.ends(self._wide[last]), over=True)
        for before in range(min(self._living) - 1, number - 1, -1):
            slot, boundary = self.slots[before], self._wide[before]
            behind = self._living[before + 1]
            part = automaton.alive(boundary, slot, behind.part)
            if behind.over and self._may_stop(slot):
                part = automaton.join(part, automaton.ends(boundary))
            over = behind.over and (slot == OPEN or slot in self.tail)
            self._living[before] = Living(part, over)

    def _widen(self) -> None:
        """Make all wide boundaries: of exact ones, or, where those have too many sets of stacks, by steps from the last
        of them. What may lie under a state can come to light on the way; then they are made again.
        """
        automaton = self.automaton
        last = len(self.slots)
        if len(self._wide) > last:
            return
        many = automaton.num_nodes + (0 if automaton.has_table else 8 * MANY_NODES)
        while len(self.boundaries) <= last and (automaton.num_nodes < many or not automaton.can_be_wide):
            self.go_to(len(self.boundaries))
        for _ in range(MOST_PASSES):
            known = automaton.universe
            wide = [automaton.wide(boundary) for boundary in self.boundaries]
            for slot in self.slots[len(wide) - 1 :]:
                wide.append(automaton.wide(automaton.step(wide[-1], slot)))
            if automaton.universe == known:
                self._wide = wide
                return
        self.go_to(last)
        self._wide = [automaton.wide(boundary) for boundary in self.boundaries]
