"""The errors that users of ``grammar_engine`` meet: the compiler's, and those of the layers above it.

GrammarEngineError              (its other children: ``grammar_engine.compiler.errors``)
├── InvalidArgumentError        a call that contradicts itself: two constraints, none, an empty batch
├── ConditionError              a condition, critic or score raised: texts, populations; the cause is chained
│   └── ConditionTimeoutError   it took longer than ``within`` allows: seconds
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
]


class InvalidArgumentError(GrammarEngineError, ValueError):
    """Arguments that make no sense together or alone; ``argument`` names the one to change."""

    def __init__(self, message: str, *, argument: str) -> None:
        super().__init__(f"{message} (argument {argument})")
        self.argument = argument


class ConditionError(GrammarEngineError):
    """A condition, a critic or a score raised, or returned no number; ``__cause__`` is what it raised.

    ``texts``: what it was asked about: one text, or those of a call for many. ``populations``: of each prompt of the
    call, what had been written so far (``sampling.Population``; particles in the midst of a text are "writing").
    """

    def __init__(self, message: str, *, texts: tuple[str, ...]) -> None:
        super().__init__(
            f"{message}, asked about {_shown(texts)}. It must have an answer for every text that may be written; what "
            "had been written so far is in populations"
        )
        self.texts = texts
        self.populations: tuple[object, ...] = ()


class ConditionTimeoutError(ConditionError):
    """A condition took longer than ``seconds`` (see ``sampling.within``)."""

    def __init__(self, seconds: float, *, texts: tuple[str, ...]) -> None:
        super().__init__(f"a condition took more than {seconds} seconds", texts=texts)
        self.seconds = seconds


def _shown(texts: tuple[str, ...]) -> str:
    """The last text, by its end, and how many there are beside it."""
    if not texts:
        return "nothing"
    last = texts[-1]
    shown = repr(last) if len(last) <= 80 else f"a text of {len(last)} characters that ends {last[-60:]!r}"
    return shown if len(texts) == 1 else f"{len(texts)} texts, among them {shown}"


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
