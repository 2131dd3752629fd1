"""Lookahead: can the gaps left of the last filled slot be filled so that all up to there begins a text?

The question is put to samples, not answered: sequences for the gaps are drawn from the model's distributions, slot by
slot independent of each other, and followed through the grammar. One that gets through is a proof (the **witness**);
none says nothing. Nobody asks whether the slots that are left suffice.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from grammar_engine.matcher import Matcher
from grammar_engine.sampling.weighted import check_count


@dataclass(frozen=True, kw_only=True)
class LaveSettings:
    """Parameters of LAVE, as published by default.

    top:     tokens of a gap's distribution that are tried. beams: sequences of them that are followed, half of them the
             most probable, half drawn. rejects: rejected proposals in a row behind which the witness is taken.
    """

    top: int = 5
    beams: int = 10
    rejects: int = 5

    def __post_init__(self) -> None:
        """Refuse settings without meaning."""
        for name in ("top", "beams", "rejects"):
            check_count(getattr(self, name), name)


@dataclass(frozen=True, kw_only=True)
class Gap:
    """The tokens to try in an open slot, the most probable first, and their log-probabilities."""

    token_ids: npt.NDArray[np.int64]
    logps: npt.NDArray[np.float64]


class Prefix:
    """The beginning of a canvas, as far as it has been followed through a grammar."""

    __slots__ = ("_ended", "_matcher", "_tail", "_text")

    def __init__(self, matcher: Matcher, tail: frozenset[int], *, ended: bool = False) -> None:
        """tail: the ids that may stand behind a stop token."""
        self._matcher = matcher
        self._tail = tail
        self._ended = ended

    def takes(self, token_ids: Sequence[int]) -> bool:
        """Go on; False if no text goes on so, and then this prefix is of no more use."""
        for token in token_ids:
            if self._ended:
                if token not in self._tail:
                    return False
            elif not self._matcher.accept_token(token):
                return False
            self._ended = self._ended or self._matcher.is_terminated()
        return True

    @property
    def is_text(self) -> bool:
        """Whether the text so far is in the language."""
        return self._ended or self._matcher.is_accepting()

    def allowed(self, words: int) -> npt.NDArray[np.int32]:
        """int32 ``(1, words)``: which tokens may come next; stop and pad ids behind a stop token."""
        row = np.zeros((1, words), np.int32)
        if not self._ended:
            self._matcher.fill_next_token_bitmask(row)
            return row
        bits = row.view(np.uint32)
        for token in self._tail:
            bits[0, token >> 5] |= np.uint32(1 << (token & 31))
        return row

    def copy(self) -> Prefix:
        """An independent prefix at the same place."""
        return Prefix(self._matcher.fork(), self._tail, ended=self._ended)


def find_witness(
    prefix: Prefix, ids: Sequence[int], gaps: Sequence[Gap], mask_id: int, beams: int, rng: np.random.Generator
) -> list[int] | None:
    """Tokens for all of ``ids``, with which they go on from the prefix; None if no lookahead gets there.

    ids: slots behind the prefix, ``mask_id`` where open, the last one filled. gaps: of the open ones, from the left.
    """
    places = [i for i, token in enumerate(ids) if token == mask_id]
    for sequence in lookaheads(gaps, beams, rng):
        filled = list(ids)
        for place, token in zip(places, sequence, strict=True):
            filled[place] = token
        if prefix.copy().takes(filled):
            return filled
    return None


def lookaheads(gaps: Sequence[Gap], beams: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """Different sequences of a token for each gap: half the most probable, half drawn; fewer if there are fewer."""
    if not gaps:
        return [()]
    found = most_probable(gaps, (beams + 1) // 2)
    known = set(found)
    shares = [np.exp(gap.logps - gap.logps.max()) for gap in gaps]
    for _ in range(beams - (beams + 1) // 2):
        drawn = tuple(
            int(rng.choice(gap.token_ids, p=share / share.sum())) for gap, share in zip(gaps, shares, strict=True)
        )
        if drawn not in known:
            known.add(drawn)
            found.append(drawn)
    return found


def most_probable(gaps: Sequence[Gap], count: int) -> list[tuple[int, ...]]:
    """The sequences with the largest Σ log p, the largest first: gap by gap, the best beginnings are kept.

    Exact, because gaps are independent: what the best sequences begin with are best beginnings.
    """
    beginnings: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    for gap in gaps:
        longer = (
            (logp + float(more), (*tokens, int(token)))
            for logp, tokens in beginnings
            for token, more in zip(gap.token_ids, gap.logps, strict=True)
            if more > -math.inf
        )
        beginnings = heapq.nlargest(count, longer, key=lambda found: found[0])
    return [tokens for _, tokens in beginnings]
