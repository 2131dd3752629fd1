"""The errors of grammars, schemas, vocabularies and generation.

    GrammarEngineError
    ├── GrammarSyntaxError          a grammar or pattern that cannot be parsed: line, column, caret
    ├── UnsupportedGrammarError     a construct that no automaton here carries: construct, place, advice
    ├── InvalidSchemaError          a JSON Schema (or type) that is not one: pointer
    ├── UnsupportedSchemaError      a keyword that is not enforced: pointer, keyword, advice
    ├── UnsatisfiableGrammarError   the language is empty: place, why
    ├── TokenizerError              not a tokenizer, or one that contradicts itself
    ├── LimitExceededError          a documented limit: limit, given
    ├── IncompleteGenerationError   tokens ran out before the text was complete: partial text
    └── AllParticlesDeadError       sequential Monte Carlo lost its whole population

``grammar_engine.errors`` adds those of calls and of models. Errors carry data, not only prose: callers can point an
editor at ``line`` and ``column`` or a form at ``pointer``.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NotEnforced:
    """A keyword of a JSON Schema that was left out (``on_unsupported="warn"``), and where it stood."""

    keyword: str
    pointer: str

    def __str__(self) -> str:
        return f"{self.keyword} (at {self.pointer or 'the root'})"


class SchemaNotEnforcedWarning(UserWarning):
    """Some keywords of a JSON Schema were left out; ``left_out`` lists them."""

    def __init__(self, left_out: tuple[NotEnforced, ...]) -> None:
        super().__init__("not enforced: " + ", ".join(map(str, left_out)))
        self.left_out = left_out


class GrammarEngineError(Exception):
    """Root of all errors raised on purpose.

    An error of one row of a batch is raised when all rows are done. ``row``: the number of the first row that has one;
    ``results``: what became of each row, in order: its result, or its error (this one among them). Else None and ().
    """

    row: int | None = None
    results: tuple[object, ...] = ()

    def __str__(self) -> str:
        message = super().__str__()
        if self.row is None:
            return message
        failed = sum(isinstance(result, Exception) for result in self.results)
        return f"{message} (row {self.row} of a batch; {failed} of {len(self.results)} rows failed, see results)"


def _caret(source: str, line: int, column: int) -> str:
    lines = source.splitlines() or [""]
    if not 1 <= line <= len(lines):
        return ""
    text, column = _window(lines[line - 1], column)
    return f"\n  {text}\n  {' ' * (column - 1)}^"


def _window(text: str, column: int, width: int = 100) -> tuple[str, int]:
    """What fits a terminal of a line around a column, and the column in it."""
    first = max(0, min(column - 1 - width // 2, len(text) - width))
    before, behind = "… " if first else "", " …" if first + width < len(text) else ""
    return before + text[first : first + width] + behind, column - first + len(before)


class GrammarSyntaxError(GrammarEngineError):
    """A grammar or pattern that cannot be parsed.

    ``line`` and ``column`` count from 1; the message shows the offending line with a caret under the column. ``path``:
    the file, if it is in one.
    """

    def __init__(
        self, message: str, *, source: str = "", line: int = 1, column: int = 1, path: str | None = None
    ) -> None:
        file = "" if path is None else f"{path}, "
        super().__init__(f"{message} ({file}line {line}, column {column}){_caret(source, line, column)}")
        self.reason = message
        self.path = path
        self.source = source
        self.line = line
        self.column = column


class UnsupportedGrammarError(GrammarEngineError):
    """A construct of a grammar or pattern that is not supported: what, where, and what to do instead."""

    def __init__(self, construct: str, *, place: str, advice: str) -> None:
        super().__init__(f"{construct} is not supported ({place}). {advice}")
        self.construct = construct
        self.place = place
        self.advice = advice


class InvalidSchemaError(GrammarEngineError):
    """A JSON Schema or Python type that is malformed; ``pointer`` is a JSON pointer into the schema."""

    def __init__(self, message: str, *, pointer: str = "") -> None:
        super().__init__(f"{message} (at {pointer or 'the root'})")
        self.reason = message
        self.pointer = pointer


class UnsupportedSchemaError(GrammarEngineError):
    """A keyword of a JSON Schema that would not be enforced; nothing is ever ignored silently."""

    def __init__(self, keyword: str, *, pointer: str, advice: str) -> None:
        super().__init__(f"{keyword!r} is not supported (at {pointer or 'the root'}). {advice}")
        self.keyword = keyword
        self.pointer = pointer
        self.advice = advice


class UnsatisfiableGrammarError(GrammarEngineError):
    """No text is in the language."""

    def __init__(self, why: str, *, place: str = "") -> None:
        super().__init__(f"nothing can satisfy {place or 'the grammar'}: {why}")
        self.why = why
        self.place = place


class TokenizerError(GrammarEngineError):
    """A tokenizer file that is not one, or a vocabulary that contradicts itself."""


class LimitExceededError(GrammarEngineError):
    """A documented limit was exceeded; ``limit`` names it with its value, ``given`` is what was asked for."""

    def __init__(self, message: str, *, limit: str, given: object) -> None:
        super().__init__(f"{message} (limit {limit}, given {given})")
        self.limit = limit
        self.given = given


class IncompleteGenerationError(GrammarEngineError):
    """The token budget ran out before the text was complete; ``partial_text`` keeps what there is."""

    def __init__(self, message: str, *, partial_text: str) -> None:
        super().__init__(message)
        self.partial_text = partial_text


class AllParticlesDeadError(GrammarEngineError):
    """Every particle of a population has weight zero; ``population`` keeps them (a ``sampling.Population``)."""

    def __init__(self, message: str, *, population: object) -> None:
        super().__init__(message)
        self.population = population
