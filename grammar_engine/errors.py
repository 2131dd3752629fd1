"""The errors that users of ``grammar_engine`` meet: the compiler's, and those of the layers above it.

GrammarEngineError              (its other children: ``grammar_engine.compiler.errors``)
├── InvalidArgumentError        a call that contradicts itself: two constraints, none, an empty batch
├── MissingDependencyError      an optional package is not installed: package, extra
├── ModelUnavailableError       a model cannot be fetched or loaded: model, advice
└── NothingAcceptedError        (an AllParticlesDeadError) rejection sampling used up its tries: tries, closest text
"""

from __future__ import annotations

from grammar_engine.compiler.errors import (
    AllParticlesDeadError,
    GrammarEngineError,
    GrammarSyntaxError,
    IncompleteGenerationError,
    InvalidSchemaError,
    LimitExceededError,
    NotEnforced,
    SchemaNotEnforcedWarning,
    TokenizerError,
    UnsatisfiableGrammarError,
    UnsupportedGrammarError,
    UnsupportedSchemaError,
)

__all__ = [
    "AllParticlesDeadError",
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
]


class InvalidArgumentError(GrammarEngineError, ValueError):
    """Arguments that make no sense together or alone; ``argument`` names the one to change."""

    def __init__(self, message: str, *, argument: str) -> None:
        super().__init__(f"{message} (argument {argument})")
        self.argument = argument


class MissingDependencyError(GrammarEngineError, ImportError):
    """An optional package is needed and absent; ``extra`` is the extra of this distribution that brings it."""

    def __init__(self, package: str, *, extra: str) -> None:
        super().__init__(f"{package} is not installed. Run: pip install 'grammar-engine[{extra}]'")
        self.package = package
        self.extra = extra


class ModelUnavailableError(GrammarEngineError):
    """A model could not be fetched, verified or loaded: which one, why, and what to do."""

    def __init__(self, model: str, why: str, *, advice: str) -> None:
        super().__init__(f"model {model!r} is not available: {why}. {advice}")
        self.model = model
        self.why = why
        self.advice = advice


class NothingAcceptedError(AllParticlesDeadError):
    """Rejection sampling used up its tries: how many, the text that went furthest, and all in ``population``."""

    def __init__(self, message: str, *, tries: int, closest_text: str, population: object) -> None:
        super().__init__(message, population=population)
        self.tries = tries
        self.closest_text = closest_text
