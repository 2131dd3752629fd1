"""What one compiled grammar may use."""

from __future__ import annotations

from dataclasses import dataclass

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
