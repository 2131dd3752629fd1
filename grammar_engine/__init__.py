"""Constrained generation for language models: whatever the model says, the output is in the language of a grammar.

    import grammar_engine as ge
    ge.generate("Name a city and its country.", schema=City)      # a validated City

Names are imported when they are first used: neither torch nor transformers is loaded before something needs it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "grammar_engine.api": ("agenerate", "astream", "generate", "stream"),
    "grammar_engine.bitmask": (
        "allocate_token_bitmask",
        "apply_token_bitmask_inplace",
        "fill_next_token_bitmask_batch",
    ),
    "grammar_engine.compiler.compiled": ("CompiledGrammar", "GrammarCompiler"),
    "grammar_engine.errors": (
        "AllParticlesDeadError",
        "ConditionError",
        "ConditionTimeoutError",
        "GrammarEngineError",
        "GrammarSyntaxError",
        "IncompleteGenerationError",
        "InvalidArgumentError",
        "InvalidSchemaError",
        "LimitExceededError",
        "MissingDependencyError",
        "ModelUnavailableError",
        "NotEnforced",
        "NothingAcceptedError",
        "SchemaNotEnforcedWarning",
        "TokenizerError",
        "UnsatisfiableGrammarError",
        "UnsupportedGrammarError",
        "UnsupportedSchemaError",
    ),
    "grammar_engine.generation": ("Generation", "Stats", "TokenEvent"),
    "grammar_engine.matcher": ("Matcher",),
    "grammar_engine.models": ("Model", "load_model"),
    "grammar_engine.sampling": (
        "AWRS",
        "CARS",
        "SMC",
        "Beam",
        "BestOf",
        "CarsMemory",
        "Greedy",
        "Rejection",
        "Sample",
        "StructuralRepetition",
    ),
    "grammar_engine.tokenizers": ("Vocabulary",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
_SUBPACKAGES = ("device", "diffusion", "sampling")

__all__ = [
    "AWRS",
    "CARS",
    "SMC",
    "AllParticlesDeadError",
    "Beam",
    "BestOf",
    "CarsMemory",
    "CompiledGrammar",
    "ConditionError",
    "ConditionTimeoutError",
    "Generation",
    "GrammarCompiler",
    "GrammarEngineError",
    "GrammarSyntaxError",
    "Greedy",
    "IncompleteGenerationError",
    "InvalidArgumentError",
    "InvalidSchemaError",
    "LimitExceededError",
    "Matcher",
    "MissingDependencyError",
    "Model",
    "ModelUnavailableError",
    "NotEnforced",
    "NothingAcceptedError",
    "Rejection",
    "Sample",
    "SchemaNotEnforcedWarning",
    "Stats",
    "StructuralRepetition",
    "TokenEvent",
    "TokenizerError",
    "UnsatisfiableGrammarError",
    "UnsupportedGrammarError",
    "UnsupportedSchemaError",
    "Vocabulary",
    "__version__",
    "agenerate",
    "allocate_token_bitmask",
    "apply_token_bitmask_inplace",
    "astream",
    "device",
    "diffusion",
    "fill_next_token_bitmask_batch",
    "generate",
    "load_model",
    "sampling",
    "stream",
]

if TYPE_CHECKING:
    from grammar_engine import device, diffusion, sampling
    from grammar_engine.api import agenerate, astream, generate, stream
    from grammar_engine.bitmask import (
        allocate_token_bitmask,
        apply_token_bitmask_inplace,
        fill_next_token_bitmask_batch,
    )
    from grammar_engine.compiler.compiled import CompiledGrammar, GrammarCompiler
    from grammar_engine.errors import (
        AllParticlesDeadError,
        ConditionError,
        ConditionTimeoutError,
        GrammarEngineError,
        GrammarSyntaxError,
        IncompleteGenerationError,
        InvalidArgumentError,
        InvalidSchemaError,
        LimitExceededError,
        MissingDependencyError,
        ModelUnavailableError,
        NotEnforced,
        NothingAcceptedError,
        SchemaNotEnforcedWarning,
        TokenizerError,
        UnsatisfiableGrammarError,
        UnsupportedGrammarError,
        UnsupportedSchemaError,
    )
    from grammar_engine.generation import Generation, Stats, TokenEvent
    from grammar_engine.matcher import Matcher
    from grammar_engine.models import Model, load_model
    from grammar_engine.sampling import (
        AWRS,
        CARS,
        SMC,
        Beam,
        BestOf,
        CarsMemory,
        Greedy,
        Rejection,
        Sample,
        StructuralRepetition,
    )
    from grammar_engine.tokenizers import Vocabulary


def __getattr__(name: str) -> Any:
    """Import a public name where it is first used."""
    if name in _SUBPACKAGES:
        return importlib.import_module(f"{__name__}.{name}")
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
