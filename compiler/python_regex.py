"""Python's regular expressions, parsed by Python itself and turned into trees.

`re`'s own parser decides what is well-formed and which flag reaches where; this module reads its result. It is a
private module of the standard library, stable since Python 2.x but for its name and a few opcodes, and every verdict
is checked against `re.fullmatch` in the tests; a parser of our own would have to follow the same details by hand.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from functools import lru_cache
from importlib import import_module
from typing import Any

from grammar_engine.compiler.charset import ANY, CharSet
from grammar_engine.compiler.errors import GrammarSyntaxError, LimitExceededError, UnsupportedGrammarError
from grammar_engine.compiler.regex_ast import (
    FAIL,
    LINE_END,
    LINE_START,
    TEXT_END,
    TEXT_END_OR_NEWLINE,
    TEXT_START,
    Assertion,
    Chars,
    Node,
    alt,
    no_word_boundary,
    repeat,
    seq,
    word_boundary,
)
from grammar_engine.compiler.unicode_classes import category, ignoring_case

_PRIVATE = ("re._parser", "re._constants") if sys.version_info >= (3, 11) else ("sre_parse", "sre_constants")
sre_parser: Any = import_module(_PRIVATE[0])
sre: Any = import_module(_PRIVATE[1])

_TYPE_FLAGS = re.ASCII | re.LOCALE | re.UNICODE
_CATEGORIES: dict[Any, tuple[str, bool]] = {
    sre.CATEGORY_WORD: ("w", False),
    sre.CATEGORY_NOT_WORD: ("w", True),
    sre.CATEGORY_DIGIT: ("d", False),
    sre.CATEGORY_NOT_DIGIT: ("d", True),
    sre.CATEGORY_SPACE: ("s", False),
    sre.CATEGORY_NOT_SPACE: ("s", True),
}
_NEWLINE = CharSet.from_chars("\n")


def parse_python_regex(pattern: str, flags: int = 0, *, module: str = "re") -> Node:
    """The tree of a pattern in Python's syntax; see ``regex_ast.parse_regex`` for errors.

    module: whose character classes are meant, those of ``re`` or of the package regex.
    """
    try:
        parsed = sre_parser.parse(pattern, flags)
    except re.error as error:
        raise GrammarSyntaxError(
            f"invalid regular expression: {error.msg}",
            source=pattern,
            line=error.lineno or 1,
            column=error.colno or 1,
        ) from error
    except (ValueError, OverflowError) as error:
        raise GrammarSyntaxError(f"invalid regular expression: {error}", source=pattern) from error
    except RecursionError as error:
        raise _too_deep() from error
    try:
        return _Reader(pattern, module).sequence(parsed, parsed.state.flags)
    except RecursionError as error:
        raise _too_deep() from error


def _too_deep() -> LimitExceededError:
    return LimitExceededError(
        "the regular expression is nested too deeply", limit="Python's recursion limit", given="more"
    )


@lru_cache(maxsize=4096)
def _literal(code: int, flags: int, module: str) -> Node:
    """One character, in all its cases if flags say so."""
    return Chars(_Reader("", module).charset([(sre.LITERAL, code)], flags))


class _Reader:
    """Turns the parser's items into nodes; one method per kind of item, ``flags`` are those in force."""

    def __init__(self, pattern: str, module: str) -> None:
        self._pattern = pattern
        self._module = module

    def sequence(self, items: Iterable[tuple[Any, Any]], flags: int) -> Node:
        return seq(*(self._item(op, argument, flags) for op, argument in items))

    def _item(self, op: Any, argument: Any, flags: int) -> Node:
        if op is sre.LITERAL:
            return _literal(argument, flags & (re.IGNORECASE | re.ASCII), self._module)
        if op is sre.NOT_LITERAL:
            return Chars(self.charset([(sre.NEGATE, None), (sre.LITERAL, argument)], flags))
        if op is sre.IN:
            return Chars(self.charset(argument, flags))
        if op is sre.ANY:
            return Chars(ANY if flags & re.DOTALL else _NEWLINE.complement())
        if op is sre.SUBPATTERN:
            _, added, removed, items = argument
            return self.sequence(items, _combine(flags, added, removed))
        if op is sre.BRANCH:
            return alt(*(self.sequence(items, flags) for items in argument[1]))
        if op in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            low, high, items = argument
            bound = None if high is sre.MAXREPEAT else int(high)
            return repeat(self.sequence(items, flags), int(low), bound, greedy=op is sre.MAX_REPEAT)
        if op is sre.AT:
            return self._anchor(argument, flags)
        if op in (sre.ASSERT, sre.ASSERT_NOT):
            return self._look_around(op, argument, flags)
        if op is sre.FAILURE:
            return FAIL
        raise self._unsupported(op, argument)

    def charset(self, items: list[tuple[Any, Any]], flags: int) -> CharSet:
        """The members of a class."""
        negated = False
        parts: list[CharSet] = []
        source: list[str] = []
        cased = False
        for op, argument in items:
            if op is sre.NEGATE:
                negated = True
            elif op is sre.LITERAL:
                parts.append(CharSet.from_ranges([(argument, argument)]))
                source.append(f"\\U{argument:08x}")
                cased = True
            elif op is sre.RANGE:
                low, high = argument
                parts.append(CharSet.from_ranges([(low, high)]))
                source.append(f"\\U{low:08x}-\\U{high:08x}")
                cased = True
            else:
                letter, inverted = _CATEGORIES[argument]
                found = category(letter, ascii_only=bool(flags & re.ASCII), module=self._module)
                parts.append(found.complement() if inverted else found)
                source.append("\\" + (letter.upper() if inverted else letter))
        members = parts[0].union(*parts[1:])
        if negated:
            members = members.complement()
        if cased and flags & re.IGNORECASE:
            listed = f"[{'^' if negated else ''}{''.join(source)}]"
            return ignoring_case(members, listed, ascii_only=bool(flags & re.ASCII), module=self._module)
        return members

    def _anchor(self, where: Any, flags: int) -> Node:
        multiline = bool(flags & re.MULTILINE)
        if where is sre.AT_BEGINNING:
            return LINE_START if multiline else TEXT_START
        if where is sre.AT_END:
            return LINE_END if multiline else TEXT_END_OR_NEWLINE
        if where is sre.AT_BEGINNING_STRING:
            return TEXT_START
        if where is sre.AT_END_STRING:
            return TEXT_END
        words = category("w", ascii_only=bool(flags & re.ASCII), module=self._module)
        if where is sre.AT_BOUNDARY:
            return word_boundary(words)
        return no_word_boundary(words, in_empty_text=sys.version_info >= (3, 14))

    def _look_around(self, op: Any, argument: Any, flags: int) -> Node:
        direction, items = argument
        negative = op is sre.ASSERT_NOT
        if direction < 0:
            low, high = items.getwidth()
            if low != high:
                raise GrammarSyntaxError(
                    "invalid regular expression: look-behind requires fixed-width pattern", source=self._pattern
                )
        return Assertion(self.sequence(items, flags), direction > 0, negative)

    def _unsupported(self, op: Any, argument: Any) -> UnsupportedGrammarError:
        name, advice = {
            "GROUPREF": (
                f"the back-reference to group {argument}",
                "What a back-reference matches is not a regular language; write the possible texts out.",
            ),
            "GROUPREF_EXISTS": (
                "the conditional group (?(id)yes|no)",
                "Write both cases out as alternatives.",
            ),
            "ATOMIC_GROUP": ("the atomic group (?>...)", "Use (?:...) if giving back characters does no harm."),
            "POSSESSIVE_REPEAT": (
                "the possessive quantifier",
                "Use the greedy one if giving back characters does no harm.",
            ),
        }.get(str(op), (f"the construct {op}", "Write the pattern without it."))
        return UnsupportedGrammarError(name, place=f"regular expression {self._pattern!r}", advice=advice)


def _combine(flags: int, added: int, removed: int) -> int:
    if added & _TYPE_FLAGS:
        flags &= ~_TYPE_FLAGS
    return (flags | added) & ~removed
