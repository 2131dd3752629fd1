"""Samplers: how a token is drawn once the grammar has said which ones are possible."""

from __future__ import annotations

from grammar_engine.sampling.fused import FusedSampler
from grammar_engine.sampling.samplers import Greedy, Sample, Sampler

__all__ = ["FusedSampler", "Greedy", "Sample", "Sampler"]
