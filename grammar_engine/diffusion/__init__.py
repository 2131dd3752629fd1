"""Masked diffusion models under a grammar: slots filled in any order, and always completable.

    ge.diffusion.generate(model, prompt, compiled)     a filled canvas, its value, and how it came about
    ge.diffusion.smc(model, prompt, compiled, …)       weighted texts: unbiased sampling

See docs/diffusion.md. Names are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from grammar_engine.diffusion.interface import DiffusionModel

_HOMES = {
    "grammar_engine.diffusion.canvas": ("Canvas",),
    "grammar_engine.diffusion.fill": ("Fill",),
    "grammar_engine.diffusion.generation": ("generate",),
    "grammar_engine.diffusion.lookahead": ("LaveSettings",),
    "grammar_engine.diffusion.models": ("load_diffusion_model",),
    "grammar_engine.diffusion.records": ("Counters", "DiffusionResult", "SlotRecord", "StepRecord"),
    "grammar_engine.diffusion.sampling": ("smc",),
    "grammar_engine.diffusion.schedules": ("Remasking", "Schedule"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Canvas",
    "Counters",
    "DiffusionModel",
    "DiffusionResult",
    "Fill",
    "LaveSettings",
    "Remasking",
    "Schedule",
    "SlotRecord",
    "StepRecord",
    "generate",
    "load_diffusion_model",
    "smc",
]

if TYPE_CHECKING:
    from grammar_engine.diffusion.canvas import Canvas
    from grammar_engine.diffusion.fill import Fill
    from grammar_engine.diffusion.generation import generate
    from grammar_engine.diffusion.lookahead import LaveSettings
    from grammar_engine.diffusion.models import load_diffusion_model
    from grammar_engine.diffusion.records import Counters, DiffusionResult, SlotRecord, StepRecord
    from grammar_engine.diffusion.sampling import smc
    from grammar_engine.diffusion.schedules import Remasking, Schedule


def __getattr__(name: str) -> Any:
    """Import a public name where it is first used."""
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
