"""How ``ge.generate`` fills the slots of a diffusion model: settings, given in the place of a sampler."""

from __future__ import annotations

from dataclasses import dataclass

from grammar_engine.diffusion.lookahead import LaveSettings
from grammar_engine.diffusion.schedules import Schedule, as_schedule
from grammar_engine.errors import InvalidArgumentError
from grammar_engine.sampling.samplers import Greedy, Sample, Sampler


@dataclass(frozen=True, kw_only=True)
class Fill:
    """How the slots of a diffusion model are filled, as the ``sampler`` of ``ge.generate``.

    Fields as the arguments of ``ge.diffusion.generate``. ``sampler=Greedy()`` is short for ``Fill()``, and
    ``sampler=Sample(…)`` for ``Fill(sampler=Sample(…))``.
    """

    method: str = "exact"
    schedule: Schedule | str = "threshold"
    steps: int | None = None
    sampler: Sampler | None = None
    lave: LaveSettings | None = None

    def __post_init__(self) -> None:
        """Refuse what no canvas can be filled with; the rest is checked when the canvas is known."""
        if self.method not in ("exact", "lave"):
            raise InvalidArgumentError(f"expected exact or lave, not {self.method!r}", argument="method")
        schedule = as_schedule(self.schedule)
        if schedule.remasking is not None:
            raise InvalidArgumentError(
                "slots that are opened again take back what a stream has shown; use ge.diffusion.generate",
                argument="schedule",
            )
        as_sampler(self.sampler, None)


def as_sampler(sampler: object, temperature: float | None) -> Sampler:
    """One of both, or greedy. InvalidArgumentError for what slots cannot be filled with."""
    if temperature is not None:
        if sampler is not None:
            raise InvalidArgumentError("give a sampler or a temperature, not both", argument="temperature")
        sampler = Greedy() if temperature == 0 else Sample(temperature=temperature)
    chosen = sampler or Greedy()
    if not isinstance(chosen, (Greedy, Sample)):
        raise InvalidArgumentError(
            f"the slots of a diffusion model are filled by Greedy() or Sample(...), not {type(chosen).__name__}: the "
            "others write texts from left to right (weighted texts of a diffusion model: ge.diffusion.smc)",
            argument="sampler",
        )
    if chosen.repetition is not None:
        raise InvalidArgumentError(
            "a penalty on repetition follows the text from left to right; diffusion models do not", argument="sampler"
        )
    return chosen
