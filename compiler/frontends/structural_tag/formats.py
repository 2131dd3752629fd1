"""What a structural tag says, once its names and abbreviations are gone: a regular expression over regions.

The languages, with ``free(S)`` for the texts in which no string of S stands:

    Text        one of some byte strings
    Free        free(excludes), of at most so many characters
    Part        the texts of a grammar of another front end
    Sequence    one after the other            Choice    one of them            Repeat    so many times
    Dispatch    free(S) (trigger way free(S))*, S = triggers and excludes; see its docstring
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from grammar_engine.compiler.ir import Grammar


@dataclass(frozen=True, kw_only=True)
class Text:
    """One of some texts, the empty one perhaps among them."""

    texts: tuple[bytes, ...]


@dataclass(frozen=True, kw_only=True)
class Free:
    """Any text in UTF-8 that holds none of some texts, of at most ``max_chars`` characters."""

    excludes: tuple[str, ...] = ()
    max_chars: int | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """The texts of a grammar. ``is_json``: of a JSON Schema; ``is_closed``: one that needs no guard.

    first: bytes with which a JSON text of it may begin. pointer: where in the tag.
    """

    grammar: Grammar
    is_json: bool
    is_closed: bool
    first: bytes
    pointer: str


@dataclass(frozen=True, kw_only=True)
class Sequence:
    """One after the other."""

    elements: tuple[Format, ...]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of them, at least one."""

    elements: tuple[Format, ...]


@dataclass(frozen=True, kw_only=True)
class Repeat:
    """From ``least`` to ``most`` times; None: without end."""

    content: Format
    least: int
    most: int | None


@dataclass(frozen=True, kw_only=True)
class Trigger:
    """``text``, and behind it the special token ``token`` if there is one."""

    text: str
    token: int | None = None


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What may stand behind a trigger."""

    trigger: Trigger
    ways: tuple[Format, ...]
    pointer: str


@dataclass(frozen=True, kw_only=True)
class Dispatch:
    """Free text until a trigger is complete, the first to be; of those that end there, the longest. Then one of its
    ways; then, with ``loop``, free text again. The text may end in free text. ``excludes``: never in free text, nor
    where a trigger is being spelled.
    """

    rules: tuple[Rule, ...]
    loop: bool
    excludes: tuple[str, ...] = ()


Format = Union[Text, Free, Part, Sequence, Choice, Repeat, Dispatch]  # noqa: UP007 (names above its definition)

EMPTY = Text(texts=(b"",))
