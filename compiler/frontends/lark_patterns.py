r"""How a Lark grammar's patterns are read: by Python's ``re``, or, with the option regex, by the package of that name.

Most patterns mean the same to both. What differs:

    \w \d \s \b, letter case    the package has Unicode tables of its own; they are asked of it
    (?(?=x)yes|no)              the package only: written out as ``(?=x)yes|(?!x)no``
    anything else               what ``re`` does not know (``\p{L}``, set operations, recursion), fuzzy matching
                                (``{e<=1}``) and POSIX classes (``[:alpha:]``) are refused by name
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any

from grammar_engine.compiler.errors import GrammarSyntaxError, UnsupportedGrammarError
from grammar_engine.compiler.last_character import Classes
from grammar_engine.compiler.python_regex import parse_python_regex
from grammar_engine.compiler.regex_ast import Node

_CONDITIONS = {"(?=": "(?!", "(?!": "(?=", "(?<=": "(?<!", "(?<!": "(?<="}
_REPEAT = re.compile(r"\{(\d+|\d*,\d*)\}")
_COMMENT = re.compile(r"\(\?#")
_VERBOSE = re.compile(r"\(\?[a-wyz]*x")
_SHARED_FLAGS = re.IGNORECASE | re.MULTILINE | re.DOTALL | re.VERBOSE
_UNICODE = 0x20  # of the package: its default


@dataclass(frozen=True, kw_only=True)
class Patterns:
    """flags: of the module in use, for all patterns. regex: whether that is the package regex.

    classes: what every match tells of its last character (see ``lark_behind``).
    """

    flags: int = 0
    regex: bool = False
    classes: Classes = ()

    def __post_init__(self) -> None:
        """Raise UnsupportedGrammarError for flags of the package that change more than ``re`` knows, or without it."""
        if self.regex and self.flags & ~(_SHARED_FLAGS | self._module.ASCII | _UNICODE):
            raise UnsupportedGrammarError(
                f"g_regex_flags={self.flags}", place="options", advice="Use the flags that re has too."
            )

    @property
    def _module(self) -> Any:
        if not self.regex:
            return re
        try:
            return import_module("regex")
        except ImportError as error:
            raise UnsupportedGrammarError(
                "option regex without the package regex", place="options", advice="Install it: pip install regex."
            ) from error

    def compile(self, regexp: str) -> Any:
        """The compiled pattern; raises GrammarSyntaxError where the module refuses it."""
        try:
            return self._module.compile(regexp, self.flags)
        except (self._module.error, OverflowError, RecursionError) as error:
            raise GrammarSyntaxError(f"not a regular expression: {error}", source=regexp) from error

    def parse(self, regexp: str) -> Node:
        """The pattern's tree; see ``regex_ast.parse_regex`` for errors."""
        if not self.regex:
            return _parsed(regexp, self.flags)
        self.compile(regexp)
        if _COMMENT.search(regexp) or ("#" in regexp and (self.flags & re.VERBOSE or _VERBOSE.search(regexp))):
            raise UnsupportedGrammarError(
                "a comment inside a pattern with regex=True",
                place=f"regular expression {regexp!r}",
                advice="Leave the comment out.",
            )
        flags = self.flags & _SHARED_FLAGS | (re.ASCII if self.flags & self._module.ASCII else 0)
        try:
            return parse_python_regex(_as_re_writes(regexp), flags, module="regex")
        except GrammarSyntaxError as error:
            raise _not_in_re(regexp, error.reason) from error


@lru_cache(maxsize=2048)
def _parsed(regexp: str, flags: int) -> Node:
    """(Each pattern is read two or three times while a grammar is compiled.)"""
    return parse_python_regex(regexp, flags)


def _not_in_re(regexp: str, what: str) -> UnsupportedGrammarError:
    return UnsupportedGrammarError(
        f"what the package regex has and re has not ({what})",
        place=f"regular expression {regexp!r}",
        advice="Write the pattern as re has it.",
    )


def _as_re_writes(regexp: str) -> str:
    """The pattern with conditions written out; raises UnsupportedGrammarError where ``re`` reads something else."""
    written: list[str] = []
    at = 0
    while at < len(regexp):
        end = _behind_item(regexp, at)
        item = regexp[at:end]
        if item.startswith("(?(?"):
            item = _written_out(regexp, at)
            end = _behind_group(regexp, at)
        elif item.startswith("[") and "[:" in item[1:]:
            raise _not_in_re(regexp, "a POSIX class")
        elif item == "{" and not _REPEAT.match(regexp, at):
            raise _not_in_re(regexp, "fuzzy matching, or a brace that is not escaped")
        written.append(item)
        at = end
    return "".join(written)


def _written_out(regexp: str, at: int) -> str:
    """The condition (?(?=x)yes|no) that begins there."""
    if _VERBOSE.search(regexp):
        raise _not_in_re(regexp, "a condition in a verbose pattern")
    behind = _behind_group(regexp, at + 2)
    end = _behind_group(regexp, at) - 1
    condition = regexp[at + 2 : behind]
    start = next(start for start in ("(?<=", "(?<!", "(?=", "(?!") if condition.startswith(start))
    bars = [bar for bar in _items(regexp, behind, end) if regexp[bar] == "|"]
    if len(bars) > 1:
        raise _not_in_re(regexp, "a condition with more than two branches")
    bar = bars[0] if bars else end
    yes, no = _as_re_writes(regexp[behind:bar]), _as_re_writes(regexp[bar + 1 : end])
    holds = start + _as_re_writes(condition[len(start) :])
    return f"(?:{holds}(?:{yes})|{_CONDITIONS[start]}{holds[len(start) :]}(?:{no}))"


def _behind_item(regexp: str, at: int) -> int:
    """The end of the character, escape or set that begins there; of a group, of what opens it."""
    if regexp[at] == "\\":
        return at + 2
    if regexp.startswith("(?(?", at):
        return at + 4
    if regexp[at] != "[":
        return at + 1
    at += 2 if regexp.startswith("[^", at) else 1
    first = at
    while regexp[at] != "]" or at == first:
        at += 2 if regexp[at] == "\\" else 1
    return at + 1


def _items(regexp: str, at: int, end: int) -> list[int]:
    """Where the items between two places begin that are in no group there."""
    found: list[int] = []
    while at < end:
        found.append(at)
        at = _behind_group(regexp, at) if regexp[at] == "(" else _behind_item(regexp, at)
    return found


def _behind_group(regexp: str, at: int) -> int:
    """The end of the group that begins there."""
    depth = 0
    while True:
        if regexp[at] == "(":
            depth += 1
            at += 1
        elif regexp[at] == ")":
            depth -= 1
            at += 1
            if depth == 0:
                return at
        else:
            at = _behind_item(regexp, at)
