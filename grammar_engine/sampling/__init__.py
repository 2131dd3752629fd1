"""Samplers: how a token is drawn once the grammar has said which ones are possible, and what weighted draws are for."""

from __future__ import annotations

from grammar_engine.sampling.awrs import Draw, awrs, masked
from grammar_engine.sampling.batch_draws import awrs_batch, masked_batch
from grammar_engine.sampling.beam import Beam
from grammar_engine.sampling.best_of import BestOf
from grammar_engine.sampling.cars import CARS, CarsMemory
from grammar_engine.sampling.conditions import (
    Condition,
    MonotoneError,
    OnFields,
    OnText,
    OnTexts,
    OnValue,
    Partial,
    check_monotone,
)
from grammar_engine.sampling.fused import FusedSampler
from grammar_engine.sampling.population import Particle, Population
from grammar_engine.sampling.rejection import Rejection
from grammar_engine.sampling.repetition import StructuralRepetition
from grammar_engine.sampling.samplers import Greedy, Sample, Sampler
from grammar_engine.sampling.smc import AWRS, SMC, smc
from grammar_engine.sampling.timed import within

__all__ = [
    "AWRS",
    "CARS",
    "SMC",
    "Beam",
    "BestOf",
    "CarsMemory",
    "Condition",
    "Draw",
    "FusedSampler",
    "Greedy",
    "MonotoneError",
    "OnFields",
    "OnText",
    "OnTexts",
    "OnValue",
    "Partial",
    "Particle",
    "Population",
    "Rejection",
    "Sample",
    "Sampler",
    "StructuralRepetition",
    "awrs",
    "awrs_batch",
    "check_monotone",
    "masked",
    "masked_batch",
    "smc",
    "within",
]
