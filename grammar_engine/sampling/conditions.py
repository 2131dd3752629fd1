r"""Conditions: what a text must fulfil beside its grammar, as predicates that see it while it is written.

    OnText(predicate)     predicate(text so far), at each token                  a plain function means this
    OnFields(predicate)   predicate({JSON pointer: value}), of the values that are complete so far
    OnValue(predicate)    predicate(value of the finished text); everything is accepted before
    first & second        both

A predicate on unfinished texts must be *monotone*: what it refuses once it refuses in every continuation, or texts are
lost that it would accept in the end. ``check_monotone`` looks for a witness against that. (A predicate that accepts too
long costs time, not correctness.)
"""

from __future__ import annotations

import contextlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from grammar_engine.errors import ConditionError, GrammarEngineError, InvalidArgumentError
from grammar_engine.sampling.json_fields import completed_values


@dataclass(frozen=True)
class Partial:
    """A text so far.

    data:      its bytes.
    complete:  whether it ends here.
    token_ids: its tokens, without a stop token.
    """

    data: bytes
    complete: bool = False
    token_ids: tuple[int, ...] = field(default=(), compare=False)

    @property
    def text(self) -> str:
        """The whole characters of it."""
        return self.data.decode("utf-8", "ignore")


class Condition(ABC):
    """A predicate on texts so far."""

    @abstractmethod
    def accepts(self, partial: Partial) -> bool:
        """Whether the text, if it is complete, or some continuation may be accepted."""

    def accept_many(self, partials: Sequence[Partial]) -> list[bool]:
        """``accepts`` for several texts; one call where a predicate is cheaper so."""
        verdicts = []
        for partial in partials:
            with naming(partial.text):
                verdicts.append(self.accepts(partial))
        return verdicts

    def __and__(self, other: Condition | Callable[[str], bool]) -> Condition:
        """Both; the second is asked where the first accepts."""
        return Both(self, as_condition(other))


@dataclass(frozen=True)
class OnText(Condition):
    """``predicate(text)`` at each token, and at the end. ``at_end`` takes its place at the end, if given."""

    predicate: Callable[[str], bool]
    at_end: Callable[[str], bool] | None = None

    def accepts(self, partial: Partial) -> bool:
        """See ``Condition``."""
        predicate = self.at_end if partial.complete and self.at_end is not None else self.predicate
        return bool(predicate(partial.text))


@dataclass(frozen=True)
class OnTexts(Condition):
    """``predicate(texts)``: many texts in one call, a verdict for each."""

    predicate: Callable[[list[str]], Iterable[bool]]

    def accepts(self, partial: Partial) -> bool:
        """See ``Condition``."""
        return self.accept_many([partial])[0]

    def accept_many(self, partials: Sequence[Partial]) -> list[bool]:
        """See ``Condition``."""
        verdicts = [bool(verdict) for verdict in self.predicate([partial.text for partial in partials])]
        if len(verdicts) != len(partials):
            raise InvalidArgumentError(f"{len(verdicts)} verdicts for {len(partials)} texts", argument="condition")
        return verdicts


@dataclass(frozen=True)
class OnValue(Condition):
    """``predicate(parse(text))`` where the text ends. ``parse``: default ``json.loads``."""

    predicate: Callable[[Any], bool]
    parse: Callable[[str], Any] = json.loads

    def accepts(self, partial: Partial) -> bool:
        """See ``Condition``."""
        return not partial.complete or bool(self.predicate(self.parse(partial.text)))


@dataclass(frozen=True)
class OnFields(Condition):
    """``predicate(fields)`` at each token of a JSON text.

    ``fields``: by JSON pointer the values that are complete, objects and arrays among them ("" is the whole). A number
    is complete when something stands behind it.
    """

    predicate: Callable[[dict[str, Any]], bool]

    def accepts(self, partial: Partial) -> bool:
        """See ``Condition``."""
        return bool(self.predicate(completed_values(partial.text, complete=partial.complete)))


@dataclass(frozen=True)
class Both(Condition):
    """Two conditions at once."""

    first: Condition
    second: Condition

    def accepts(self, partial: Partial) -> bool:
        """See ``Condition``."""
        return self.first.accepts(partial) and self.second.accepts(partial)

    def accept_many(self, partials: Sequence[Partial]) -> list[bool]:
        """See ``Condition``."""
        verdicts = self.first.accept_many(partials)
        left = [i for i, verdict in enumerate(verdicts) if verdict]
        for i, verdict in zip(left, self.second.accept_many([partials[i] for i in left]), strict=True):
            verdicts[i] = verdict
        return verdicts


def ask(condition: Condition, partials: Sequence[Partial]) -> list[bool]:
    """A verdict for each text, as a sampler asks for them.

    Raises:
        ConditionError: whatever the condition raises, with the texts that it was asked about.
    """
    with naming(*(partial.text for partial in partials)):
        return condition.accept_many(partials)


@contextlib.contextmanager
def naming(*texts: str, asked: str = "a condition") -> Iterator[None]:
    """Errors of a predicate get the texts that it was asked about. (It is the user's code: it may raise anything.)

    Raises:
        ConditionError: the predicate raised.
    """
    try:
        yield
    except ConditionError:
        raise
    except Exception as error:  # a user's function may raise anything: it is told with its text, and chained
        raise ConditionError(f"{asked} raised {type(error).__name__}: {error}", texts=texts) from error


def scored(score: Callable[[str], float], text: str, *, asked: str) -> float:
    """What a user's function says of a text. ``asked``: how errors call it.

    Raises:
        ConditionError: it raised, or returned what is no number (NaN is none, +inf is not one that can be weighed).
    """
    with naming(text, asked=asked):
        value = float(score(text))
    if not value < math.inf:
        raise ConditionError(f"{asked} returned {value}, where a number below infinity is needed", texts=(text,))
    return value


def as_condition(condition: Condition | Callable[[str], bool]) -> Condition:
    """A plain function of the text so far as a condition.

    Raises:
        InvalidArgumentError: neither a condition nor a function.
    """
    if isinstance(condition, Condition):
        return condition
    if not callable(condition):
        raise InvalidArgumentError(
            f"expected a function of the text so far or a Condition, not {condition!r}", argument="condition"
        )
    return OnText(condition)


class MonotoneError(GrammarEngineError):
    """A condition refused a text (``refused``) and accepted a continuation of it (``accepted``)."""

    def __init__(self, refused: str, accepted: str) -> None:
        super().__init__(f"refused {refused!r} but accepted its continuation {accepted!r}")
        self.refused = refused
        self.accepted = accepted


def check_monotone(condition: Condition | Callable[[str], bool], texts: Iterable[str]) -> int:
    """Look for a witness that a condition is not monotone.

    Args:
        condition: what is examined.
        texts: finished texts; every prefix of each is asked, shortest first, then the text as complete.

    Returns:
        How many prefixes were asked.

    Raises:
        MonotoneError: a prefix was refused, and the same text was accepted further on.
    """
    checked = as_condition(condition)
    count = 0
    for text in texts:
        refused: str | None = None
        data = text.encode()
        partials = [Partial(data[:end]) for end in range(len(data) + 1)]
        for partial in (*partials, Partial(data, complete=True)):
            count += 1
            if not checked.accepts(partial):
                refused = partial.text if refused is None else refused
            elif refused is not None:
                raise MonotoneError(refused, partial.text)
    return count
