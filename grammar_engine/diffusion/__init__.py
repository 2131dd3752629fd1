"""Masked diffusion models under a grammar: slots filled in any order, and always completable."""

from __future__ import annotations

from grammar_engine.diffusion.interface import DiffusionModel

__all__ = ["DiffusionModel"]
