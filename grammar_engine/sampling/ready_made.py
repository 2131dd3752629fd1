r"""Conditions that are wanted often, as no grammar carries them.

validates(schema)           the finished JSON text is valid under a JSON Schema, every keyword of it
bounded(pointer, most=…)    a number of a JSON text is within bounds, as soon as it is complete
never_matches(pattern)      the text contains no match of a regular expression
compiles_as_python()        Python's own compiler accepts the text; line by line before the end
known_to_sqlite(script)     SQLite can prepare the statement over the tables of a script: names, arities, everything
canonical(tokenizer)        the tokens are those that the tokenizer itself would write
within(seconds, condition)  another condition, with a limit on how long it may think
"""

from __future__ import annotations

import codeop
import math
import re
import sqlite3
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from grammar_engine.errors import InvalidArgumentError, MissingDependencyError
from grammar_engine.sampling.conditions import Condition, OnFields, OnText, OnValue, Partial
from grammar_engine.sampling.timed import within

if TYPE_CHECKING:
    from grammar_engine.compiler.vocabulary import Vocabulary

__all__ = [
    "Canonical",
    "bounded",
    "canonical",
    "compiles_as_python",
    "known_to_sqlite",
    "never_matches",
    "validates",
    "within",
]


def validates(schema: Mapping[str, Any] | bool) -> Condition:
    """The finished text is JSON and valid under ``schema``, by the package jsonschema.

    Raises:
        MissingDependencyError: jsonschema is not installed.
        InvalidArgumentError: the schema is invalid itself.
    """
    try:
        import jsonschema
    except ImportError as error:
        raise MissingDependencyError("jsonschema", extra="test") from error
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise InvalidArgumentError(f"the schema is invalid: {error.message}", argument="schema") from error
    validator = kind(schema)
    return OnValue(lambda value: bool(validator.is_valid(value)))


def bounded(pointer: str, *, least: float = -math.inf, most: float = math.inf) -> Condition:
    """The value at a JSON pointer is a number in [least, most]; a text without it, or with something else, is refused.

    Decided when the number is complete, not digit by digit; that it is there, at the end.
    """

    def within(fields: dict[str, Any]) -> bool:
        if pointer not in fields:
            return "" not in fields  # still to come
        value = fields[pointer]
        return isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most

    return OnFields(within)


def never_matches(pattern: str) -> Condition:
    """No part of the text matches ``pattern`` (Python's ``re``).

    What matches stays matched, unless the pattern looks at what follows: then a match at the very end of an unfinished
    text is not one yet, so such patterns are decided at the end alone.

    Raises:
        InvalidArgumentError: the pattern is malformed.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InvalidArgumentError(f"{error}", argument="pattern") from error
    looks_ahead = re.search(r"\(\?[=!]|\$|\\[bBZ]", pattern) is not None

    def is_free(text: str) -> bool:
        return compiled.search(text) is None

    return OnText((lambda _: True) if looks_ahead else is_free, at_end=is_free)


def compiles_as_python() -> Condition:
    """Python's compiler accepts the text as a module. Before the end, its whole lines are begun as one could be."""

    def complete(text: str) -> bool:
        return _compiles(lambda: compile(text, "<text>", "exec", dont_inherit=True))

    def begun(text: str) -> bool:
        lines = text[: text.rfind("\n") + 1]
        # (None: it is incomplete. A backslash at the end of a line says so, but not to codeop.)
        return (
            not lines.strip()
            or lines.endswith("\\\n")
            or _compiles(lambda: codeop.compile_command(lines, symbol="exec"))
        )

    return OnText(begun, at_end=complete)


def _compiles(attempt: Callable[[], object]) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the text, not of ours
        try:
            attempt()
        except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
            return False
    return True


_SQL_WORD = re.compile(
    r"""'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/|[A-Za-z_][A-Za-z0-9_]*|"(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\]|\d[\w.]*|\S""",
    re.DOTALL,
)
_BEHIND_SOURCES = frozenset(("WHERE", "GROUP", "ORDER", "HAVING", "LIMIT", ";"))
_SQL_NAME = re.compile(r'[A-Za-z_"`\[]')


def known_to_sqlite(script: str) -> Condition:
    """A statement that SQLite can prepare over the tables and views that ``script`` creates.

    At the end SQLite decides. Before, the columns that are qualified (``t.name``) must be known once the tables have
    been named: unqualified ones may be aliases, and those of subqueries are left to the end.

    Raises:
        InvalidArgumentError: SQLite refuses the script.
    """
    database = sqlite3.connect(":memory:", check_same_thread=False)
    try:
        database.executescript(script)
    except sqlite3.Error as error:
        raise InvalidArgumentError(f"SQLite: {error}", argument="script") from error
    names = [
        name
        for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')").fetchall()
    ]
    columns = {"rowid", "oid", "_rowid_"}
    for name in names:
        listed = database.execute("SELECT name FROM pragma_table_xinfo(?)", (name,))
        columns |= {column.lower() for (column,) in listed.fetchall()}

    known = columns | {name.lower() for name in names}

    def begun(text: str) -> bool:
        words = [match[0] for match in _SQL_WORD.finditer(text) if not match[0].startswith(("--", "/*"))]
        sources_end = next((i for i, word in enumerate(words) if word.upper() in _BEHIND_SOURCES), 0)
        if sources_end == len(words) - 1 or "(" in words[:sources_end]:
            return True  # the last word may go on; a subquery brings columns of its own
        aliases = {_bare(words[i + 1]) for i in range(sources_end) if words[i].upper() == "AS"}
        return all(
            words[i - 1] != "." or not _SQL_NAME.match(words[i]) or _bare(words[i]) in known | aliases
            for i in range(2, sources_end)
        )

    def complete(text: str) -> bool:
        try:
            database.execute(f"EXPLAIN {text}").close()
        except (sqlite3.Error, sqlite3.Warning, ValueError):
            return False
        return True

    return OnText(begun, at_end=complete)


def _bare(name: str) -> str:
    return name.strip('"`[]').lower()


class Canonical(Condition):
    """See ``canonical``."""

    def __init__(self, encode: Callable[[str], list[int]], vocabulary: Vocabulary) -> None:
        """``encode``: a text to ids without special tokens."""
        self._encode = encode
        self._vocabulary = vocabulary

    def accepts(self, partial: Partial) -> bool:
        """See ``Condition``."""
        ids = partial.token_ids
        # The last tokens of an unfinished text may end inside a character, which no tokenizer is asked to write.
        while ids:
            data = self._vocabulary.decode(ids)
            if data.decode("utf-8", "ignore").encode() == data:
                break
            ids = ids[:-1]
        if partial.complete and ids != partial.token_ids:
            return False
        return tuple(self._encode(self._vocabulary.decode(ids).decode())) == ids


def canonical(tokenizer: Any, vocabulary: Vocabulary) -> Condition:
    """The tokens are those that the tokenizer makes of the text: what a model has seen in training.

    Args:
        tokenizer: a Hugging Face tokenizer, or a function from text to ids that adds no special tokens.
        vocabulary: its vocabulary.

    Prefixes of what a tokenizer writes are mostly what it would write for them, but not where it looks ahead when it
    cuts text into words: such texts are lost to this condition.
    """
    if hasattr(tokenizer, "encode"):

        def encode(text: str) -> list[int]:
            return [int(token_id) for token_id in tokenizer.encode(text, add_special_tokens=False)]

        return Canonical(encode, vocabulary)
    return Canonical(tokenizer, vocabulary)
