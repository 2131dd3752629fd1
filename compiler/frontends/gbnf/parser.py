"""GBNF text to trees, with the place of every mistake.

    grammar    = { rule }                         comments: # to the end of the line
    rule       = name "::=" choices               a rule ends before a line that begins the next one
    choices    = sequence { "|" sequence }        a sequence may be empty
    sequence   = { element { quantifier } }
    element    = '"' characters '"' | "[" ["^"] ranges "]" | "." | name | "(" choices ")"
    quantifier = "*" | "+" | "?" | "{" n [ "," [ m ] ] "}"

The union of what llama.cpp and XGrammar read. Where XGrammar reads more: a sequence may go on in the next line, names
may hold dots, there are more escapes. Where both read a text differently, llama.cpp is followed; see docs/gbnf.md.
Open groups stand on a list, so that a text may nest as deeply as it likes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from grammar_engine.compiler.charset import MAX_CODE_POINT, CharSet, Range
from grammar_engine.compiler.errors import GrammarSyntaxError, LimitExceededError, UnsupportedGrammarError
from grammar_engine.compiler.frontends.gbnf.tree import Forest, Node

_WORD = re.compile(r"[A-Za-z0-9_-]+")
_DOTTED = re.compile(r"[A-Za-z0-9_.-]+")
_ALL_DEFINED = re.compile(r"^[ \t]*([A-Za-z0-9_.-]+)[ \t]*::=", re.MULTILINE)
_ATTRIBUTES = re.compile(r"[A-Za-z0-9_.-]+\[[^\]\r\n]*\][ \t]*::=")
_DIGITS = re.compile(r"[0-9]+")
_HEX = re.compile(r"[0-9A-Fa-f]+")
_MACROS = frozenset({"TagDispatch", "Token", "ExcludeToken", "TokenTagDispatch", "Regex"})
_ESCAPES: Mapping[str, str] = MappingProxyType(
    {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "[": "[", "]": "]", "-": "-"}
    | {"'": "'", "?": "?", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "e": "\x1b", "0": "\0"}
)
_CLASS_ESCAPES: Mapping[str, str] = MappingProxyType({**_ESCAPES, **{char: char for char in "^$.*+(){}|/"}})
_CODES: Mapping[str, int] = MappingProxyType({"x": 2, "u": 4, "U": 8})
_MAX_DIGITS = 18
_NEST = 40
"""Groups inside one another before one becomes a rule of its own: everything behind the parser recurses into trees."""


@dataclass(kw_only=True)
class ParsedGrammar:
    """rules: the right-hand side of each. names: of the rules; a group that became a rule has that of its rule."""

    forest: Forest
    rules: list[Node]
    names: list[str]
    root: int


@dataclass
class _Group:
    """What has been read of an open parenthesis, or of a rule."""

    opened: int
    choices: list[Node] = field(default_factory=list)
    sequence: list[Node] = field(default_factory=list)


def parse_gbnf(source: str, *, root: str = "root") -> ParsedGrammar:
    """The rules of a grammar.

    Raises GrammarSyntaxError, UnsupportedGrammarError (references to tokens, look-ahead, attributes, macros) or
    LimitExceededError (a count of more than 18 digits).
    """
    return _Parser(source).run(root)


class _Parser:
    def __init__(self, source: str) -> None:
        self._source = source
        self._at = 0
        self._forest = Forest()
        self._number: dict[str, int] = {}
        self._names: list[str] = []
        self._rules: list[Node | None] = []
        self._mentioned: list[int] = []
        self._defined: dict[str, int] = {}
        self._rule_name = ""
        self._headings = frozenset(_ALL_DEFINED.findall(source))
        self._dotted = any("." in name for name in self._headings)

    # -- rules ----------------------------------------------------------------------------------------------------

    def run(self, root: str) -> ParsedGrammar:
        if self._source.startswith("\ufeff"):
            self._at = 1
        self._skip()
        while self._at < len(self._source):
            self._rule()
        for number, rule in enumerate(self._rules):
            if rule is None:
                self._refuse_undefined(number)
        if root not in self._defined:
            listed = ", ".join(list(self._defined)[:5]) or "none"
            raise GrammarSyntaxError(
                f"there is no rule {root!r} to start from; there is {listed}", source=self._source, line=1, column=1
            )
        return ParsedGrammar(
            forest=self._forest,
            rules=[rule for rule in self._rules if rule is not None],
            names=self._names,
            root=self._number[root],
        )

    def _rule(self) -> None:
        begin = self._at
        self._refuse_attributes()
        name = self._name()
        if not name:
            raise self._error("expected the name of a rule and ::=")
        self._skip()
        if not self._source.startswith("::=", self._at):
            raise self._error("expected ::= behind the name of a rule")
        if name in self._defined:
            line = self._place(self._defined[name])[0]
            raise self._error(f"rule {name!r} is defined already, in line {line}", begin)
        self._defined[name] = begin
        self._at += 3
        self._rule_name = name
        number = self._rule_number(name, begin)
        self._skip()
        if self._at_definition():
            raise self._error(f'rule {name!r} is empty; write "" for the empty text')
        self._rules[number] = self._choices()

    def _rule_number(self, name: str, place: int) -> int:
        number = self._number.get(name)
        if number is None:
            number = self._number[name] = self._new_rule(name, None, place)
        return number

    def _new_rule(self, name: str, body: Node | None, place: int) -> int:
        self._names.append(name)
        self._rules.append(body)
        self._mentioned.append(place)
        return len(self._rules) - 1

    def _refuse_undefined(self, number: int) -> None:
        name, place = self._names[number], self._mentioned[number]
        if name in _MACROS and self._source.startswith("(", place + len(name)):
            raise self._unsupported(f"{name}(…)", place, "Write what it matches with rules of your own.")
        raise self._error(f"rule {name!r} is not defined", place)

    # -- right-hand sides -----------------------------------------------------------------------------------------

    def _choices(self) -> Node:
        """The right-hand side of a rule, up to the next rule or the end."""
        groups = [_Group(self._at)]
        while True:
            fresh_line = self._skip()
            char = self._peek()
            if not char or (fresh_line and self._at_definition()):
                if len(groups) > 1:
                    raise self._error("this parenthesis is never closed", groups[-1].opened)
                return self._close(groups.pop())
            group = groups[-1]
            if char == "(":
                if self._source.startswith(("(=", "(?"), self._at):
                    raise self._unsupported(
                        "a look-ahead or another special group",
                        self._at,
                        "Write the rules so that what may follow is part of them.",
                    )
                groups.append(_Group(self._at))
                self._at += 1
            elif char == ")":
                if len(groups) == 1:
                    raise self._error("there is no open parenthesis here")
                self._at += 1
                node = self._close(groups.pop())
                if len(groups) > _NEST and node.size.depth > 1:
                    node = self._forest.reference(self._new_rule(self._rule_name, node, group.opened))
                groups[-1].sequence.append(node)
            elif char == "|":
                self._at += 1
                group.choices.append(self._forest.seq(group.sequence))
                group.sequence = []
            elif char in "*+?{":
                if not group.sequence:
                    raise self._error(f"there is nothing before {char} to repeat")
                low, high = self._quantifier(char)
                group.sequence[-1] = self._forest.repeat(group.sequence[-1], low, high)
            else:
                group.sequence.append(self._element(char))

    def _close(self, group: _Group) -> Node:
        return self._forest.choice([*group.choices, self._forest.seq(group.sequence)])

    def _element(self, char: str) -> Node:
        if char == '"':
            return self._literal()
        if char == "[":
            return self._class()
        begin = self._at
        name = self._name()
        if name:
            return self._forest.reference(self._rule_number(name, begin))
        if char == ".":
            self._at += 1
            return self._forest.chars(CharSet().complement())
        if char == "<" or self._source.startswith("!<", begin):
            advice = "Write the token's text as a literal; special tokens cannot be part of a text."
            raise self._unsupported("a reference to a token of the vocabulary", begin, advice)
        if self._source.startswith("::=", begin):
            raise self._error("::= here; the name of a rule stands at the beginning of its line")
        if char == "'":
            raise self._error("texts stand in double quotes")
        if self._source.startswith(("//", "/*"), begin):
            raise self._error("comments begin with #")
        raise self._error(f"unexpected {char!r}")

    def _quantifier(self, char: str) -> tuple[int, int | None]:
        begin = self._at
        self._at += 1
        if char != "{":
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[char]
        self._skip()
        if self._peek() == ",":
            raise self._error("expected the least number of rounds; write {0,…}")
        low = self._count("expected the least number of rounds")
        high: int | None = low
        self._skip()
        if self._peek() == ",":
            self._at += 1
            self._skip()
            high = None
            if self._source.startswith("-1", self._at):  # how XGrammar prints "no upper bound"
                self._at += 2
            elif self._peek() != "}":
                high = self._count("expected the greatest number of rounds, or }")
            self._skip()
        if self._peek() != "}":
            raise self._error("expected } behind the number of rounds")
        self._at += 1
        if high is not None and high < low:
            raise self._error(f"at least {low} and at most {high} rounds are none", begin)
        return low, high

    def _count(self, expected: str) -> int:
        found = _DIGITS.match(self._source, self._at)
        if not found:
            raise self._error(expected)
        if len(found[0]) > _MAX_DIGITS:
            raise LimitExceededError(
                f"a count of rounds is too large (line {self._place(self._at)[0]})",
                limit=f"{_MAX_DIGITS} digits",
                given=len(found[0]),
            )
        self._at = found.end()
        return int(found[0])

    # -- characters -----------------------------------------------------------------------------------------------

    def _literal(self) -> Node:
        begin = self._at
        self._at += 1
        chars: list[str] = []
        while self._peek() != '"':
            if not self._peek():
                raise self._error("this text is never closed", begin)
            place = self._at
            code = self._char(_ESCAPES)
            if 0xD800 <= code <= 0xDFFF:
                raise self._error(f"{code:04X} is half a surrogate pair, no character; use \\U and eight digits", place)
            chars.append(chr(code))
        self._at += 1
        return self._forest.literal("".join(chars))

    def _class(self) -> Node:
        begin = self._at
        self._at += 1
        negated = self._peek() == "^"
        if negated:
            self._at += 1
        ranges: list[Range] = []
        while self._peek() != "]":
            place = self._at
            low = high = self._class_char(begin)
            if self._peek() == "-" and not self._source.startswith("-]", self._at):
                self._at += 1
                high = self._class_char(begin)
                if high < low:
                    raise self._error("the range ends before it begins", place)
            ranges.append((low, high))
        self._at += 1
        if not ranges:
            raise self._error("an empty set of characters; any character is .", begin)
        charset = CharSet.from_ranges(ranges)
        return self._forest.chars(charset.complement() if negated else charset)

    def _class_char(self, begin: int) -> int:
        if not self._peek():
            raise self._error("this set of characters is never closed", begin)
        if re.match(r"\\[dDsSwW]", self._source[self._at : self._at + 2]):
            raise self._unsupported(
                f"{self._source[self._at : self._at + 2]} in a set of characters", self._at, "Write the ranges out."
            )
        return self._char(_CLASS_ESCAPES)

    def _char(self, escapes: Mapping[str, str]) -> int:
        """The code point of one character or escape."""
        if self._peek() != "\\":
            self._at += 1
            return ord(self._source[self._at - 1])
        letter = self._source[self._at + 1 : self._at + 2]
        digits = _CODES.get(letter)
        if digits is None:
            if letter not in escapes or not letter:
                raise self._error(f"unknown escape \\{letter}")
            self._at += 2
            return ord(escapes[letter])
        text = self._source[self._at + 2 : self._at + 2 + digits]
        if len(text) < digits or not _HEX.fullmatch(text):
            raise self._error(f"expected {digits} hexadecimal digits behind \\{letter}")
        code = int(text, 16)
        if code > MAX_CODE_POINT:
            raise self._error(f"{text} is beyond the last code point, 10FFFF")
        self._at += 2 + digits
        return code

    # -- the text -------------------------------------------------------------------------------------------------

    def _peek(self) -> str:
        return self._source[self._at : self._at + 1]

    def _name(self) -> str:
        """Read a name; "" if none stands here. One with dots is a name only where a rule is called so."""
        found = _WORD.match(self._source, self._at)
        if self._dotted:
            longer = _DOTTED.match(self._source, self._at)
            if longer and longer[0] in self._headings:
                found = longer
        if not found:
            return ""
        self._at = found.end()
        return found[0]

    def _skip(self) -> bool:
        """Go on behind spaces and comments; was there a newline?"""
        source, at = self._source, self._at
        crossed = False
        while at < len(source):
            char = source[at]
            if char == "#":
                while at < len(source) and source[at] not in "\r\n":
                    at += 1
            elif char in " \t\r\n":
                crossed = crossed or char in "\r\n"
                at += 1
            else:
                break
        self._at = at
        return crossed

    def _refuse_attributes(self) -> None:
        if _ATTRIBUTES.match(self._source, self._at):
            raise self._unsupported("attributes of a rule", self._at, "Leave them out.")

    def _at_definition(self) -> bool:
        """Does a rule begin here?"""
        begin = self._at
        self._refuse_attributes()
        found = bool(self._name())
        if found:
            self._skip()
            found = self._source.startswith("::=", self._at)
        self._at = begin
        return found

    def _place(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, as ``str.splitlines`` counts lines."""
        before = self._source[:offset].splitlines(keepends=True)
        if before and before[-1].splitlines() != [before[-1]]:
            before.append("")
        return max(len(before), 1), len(before[-1]) + 1 if before else 1

    def _error(self, message: str, offset: int | None = None) -> GrammarSyntaxError:
        line, column = self._place(self._at if offset is None else offset)
        return GrammarSyntaxError(message, source=self._source, line=line, column=column)

    def _unsupported(self, construct: str, offset: int, advice: str) -> UnsupportedGrammarError:
        line, column = self._place(offset)
        return UnsupportedGrammarError(construct, place=f"line {line}, column {column}", advice=advice)
