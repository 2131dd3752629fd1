"""What the loop needs of a canvas: few enough verbs that its tests can run on a plain one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt


class CanvasLike(Protocol):
    """Slots in a language; see ``grammar_engine.diffusion.Canvas``."""

    def is_completable(self) -> bool:
        """Whether some filling of the open slots is a text."""

    def allowed(self, slot: int) -> npt.NDArray[np.int32]:
        """int32 ``(ceil(V/32),)``: exactly the tokens with which the rest can be completed."""

    def commit(self, commits: Sequence[tuple[int, int]]) -> bool:
        """Fill open slots; False and unchanged if the rest cannot be completed then."""

    def best_completion(self, logps: npt.NDArray[Any]) -> tuple[Sequence[int], float]:
        """The most probable filling; logps: ``(L, V)``."""

    def sample(self, logps: npt.NDArray[Any], rng: np.random.Generator) -> tuple[Sequence[int], float]:
        """A filling drawn in proportion to its probability, and a log-weight."""


NewCanvas = Callable[[Sequence[int]], CanvasLike]
"""Makes a canvas with these tokens, the mask where open."""
