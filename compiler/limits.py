"""What one compiled grammar may use."""

from __future__ import annotations

import math
from dataclasses import dataclass
from time import monotonic, thread_time

from grammar_engine.compiler.errors import LimitExceededError

MAX_COUNT = (1 << 30) - 1
"""Counters of repetitions fit into 31 bits, with room for one round more."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Budgets of one compiled grammar.

    arena_bytes: automata built on demand; beyond it LimitExceededError.
    mask_bytes: memoized mask rows; beyond it they are dropped and built again when asked for.
    """

    arena_bytes: int = 1 << 30
    mask_bytes: int = 64 << 20


DEADLINE = 0.8
"""Seconds of processor time that a front end may take to compile."""
PATIENCE = 5
"""So many times as long it may take for each part that it expands later: half a text is worth more than none."""
_TICKS = 32


class Deadline:
    """Processor time that is left to the thread that works. Long loops ``tick``; so nothing takes forever.

    Processor time, not the clock's: a busy machine refuses nothing that an idle one would have compiled. As it is
    expensive to ask for on some systems, the first half is measured by the clock, which is never behind it.
    """

    __slots__ = ("_allowed", "_end", "_half", "seconds", "ticks")

    def __init__(self, seconds: float | None) -> None:
        """seconds: None for no deadline."""
        self.seconds = seconds
        self.ticks = 0  # rounds so far: how much has been done, the same on every machine
        self.restart()

    def restart(self, times: int = 1) -> None:
        """Count from now on; ``times``: how often the seconds may pass."""
        self._end = 0.0
        self._allowed = math.inf if self.seconds is None else self.seconds * times
        self._half = monotonic() + self._allowed / 2

    def tick(self) -> None:
        """Call this once per round of a loop; now and then it looks at the time. Raises LimitExceededError."""
        self.ticks += 1
        if not self.ticks % _TICKS:
            self.check()

    def check(self) -> None:
        """Look at the time. Raises LimitExceededError."""
        if monotonic() < self._half or self.seconds is None:
            return
        now = thread_time()
        if not self._end:
            self._end = now + self._allowed / 2
        elif now > self._end:
            raise LimitExceededError(
                "this takes too long; a greater deadline= would allow it",
                limit=f"{self._allowed:g} s of processor time",
                given="more",
            )
