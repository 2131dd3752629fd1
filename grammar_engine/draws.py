"""How the decoding loop chooses tokens: the interface.

``grammar_engine.host_draws`` works with any sampler: masks are written into the logits, each row draws with a generator
of its own. ``grammar_engine.device.draws`` asks the device for all tokens of a pass and their scores, and waits once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from grammar_engine.requests import Row


class Choice(NamedTuple):
    """A token; log of its probability before the mask; log of the weight of having drawn it from the masked model."""

    token_id: int
    logprob: float
    log_weight: float


class Draws(Protocol):
    """Chooses tokens, pass by pass."""

    def take(self, rows: Sequence[Row], logits: Tensor) -> None:
        """The logits of a pass: ``(B, 1 + longest draft, V)``, ``[i, j]`` behind j drafted tokens of row i."""

    def choose(self, alive: Sequence[int], depth: int) -> list[Choice | None]:
        """A token for each of these rows, behind ``depth`` drafted tokens; None: none that is allowed has any
        probability.
        """

    def again(self, place: int, refused: Collection[int]) -> int | None:
        """Another token for row ``alive[place]`` of the last choice, none of these; None if there is none."""

    def scored(self, place: int, token_id: int) -> Choice:
        """A token of that row that something else has chosen."""
