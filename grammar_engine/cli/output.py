"""How commands answer: text for people or JSON for programs, and an exit code.

0  yes: it compiles, it matches, it was generated
1  no: it does not
2  the question itself is broken: no such file, two grammars at once, a grammar to match with that does not compile
"""

from __future__ import annotations

import enum
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from grammar_engine.errors import (
    GrammarEngineError,
    InvalidArgumentError,
    MissingDependencyError,
    ModelUnavailableError,
    TokenizerError,
)

YES, NO, BROKEN = 0, 1, 2


class Format(str, enum.Enum):
    """What stdout carries."""

    TEXT = "text"
    JSON = "json"


class BrokenQuestionError(GrammarEngineError):
    """The command cannot be carried out as it was asked."""


_ALWAYS_BROKEN = (
    BrokenQuestionError,
    InvalidArgumentError,
    MissingDependencyError,
    ModelUnavailableError,
    TokenizerError,
)


def emit_json(data: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(data, ensure_ascii=False, indent=2, default=str) + "\n")


def emit_line(line: str = "") -> None:
    """One line on stdout."""
    sys.stdout.write(line + "\n")


def describe(error: GrammarEngineError) -> dict[str, Any]:
    """An error as data: its class, its message, and whatever fields it carries."""
    fields = {
        name: value for name, value in vars(error).items() if isinstance(value, (str, int, float)) and name != "source"
    }
    return {"type": type(error).__name__, "message": str(error), **fields}


@contextmanager
def reporting(output: Format, *, code: int = BROKEN) -> Iterator[None]:
    """Turn the package's errors into a message and an exit code; anything else is a bug and keeps its traceback."""
    try:
        yield
    except GrammarEngineError as error:
        if output is Format.JSON:
            emit_json({"ok": False, "error": describe(error)})
        else:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
        raise typer.Exit(BROKEN if isinstance(error, _ALWAYS_BROKEN) else code) from None
