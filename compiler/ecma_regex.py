r"""ECMA-262's regular expressions (the dialect of JSON Schema's ``pattern``), parsed into trees.

Syntax as in ECMA-262, 2025, 22.2.1, read with the tolerance of its Annex B (a `]`, `}` or non-quantifier `{` stands for
itself, `[\w-.]` is no range) and with the meaning of the `u` flag: characters are code points, never halves of a pair,
and `\p{..}` is a property. No flags: `^` and `$` are the ends of the text and nothing else, `.` is no line
terminator, `\d` and `\w` are ASCII, `\s` is ECMA's own list.

Annex B would read an unknown letter escape such as `\A`, `\Z` or `\h` as that letter; whoever writes one means
another dialect's anchor or class, so it is refused by name.
"""

from __future__ import annotations

from typing import NoReturn

from grammar_engine.compiler.charset import ANY, NOTHING, CharSet
from grammar_engine.compiler.errors import GrammarSyntaxError, UnsupportedGrammarError
from grammar_engine.compiler.regex_ast import (
    TEXT_END,
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
from grammar_engine.compiler.unicode_classes import general_category

_DIGIT = CharSet.from_ranges([(0x30, 0x39)])
_WORD = CharSet.from_ranges([(0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)])
_LINE_END = CharSet.from_chars("\n\r\u2028\u2029")
_SPACE = CharSet.from_ranges(
    [
        (9, 13),
        (0x2000, 0x200A),
        (0x2028, 0x2029),
        *((c, c) for c in (0x20, 0xA0, 0x1680, 0x202F, 0x205F, 0x3000, 0xFEFF)),
    ]
)
_CLASSES = {"d": _DIGIT, "w": _WORD, "s": _SPACE}
_CONTROLS = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13}
_HEX = frozenset("0123456789abcdefABCDEF")


def parse_ecma_regex(pattern: str) -> Node:
    """The tree of a pattern; see ``regex_ast.parse_regex`` for errors."""
    return _Parser(pattern).pattern()


class _Parser:
    """Recursive descent; each method's docstring is the production it reads."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._at = 0
        self._groups = _count_groups(source)

    def pattern(self) -> Node:
        """Pattern :: Disjunction"""
        node = self._disjunction()
        if self._at < len(self._source):
            self._fail("unmatched )")
        return node

    def _check(self, text: str) -> bool:
        return self._source.startswith(text, self._at)

    def _read(self, text: str) -> bool:
        if not self._check(text):
            return False
        self._at += len(text)
        return True

    def _next(self) -> str:
        if self._at >= len(self._source):
            self._fail("the pattern ends too early")
        self._at += 1
        return self._source[self._at - 1]

    def _fail(self, message: str, at: int | None = None) -> NoReturn:
        line, column = self._position(self._at if at is None else at)
        raise GrammarSyntaxError(
            f"invalid regular expression: {message}", source=self._source, line=line, column=column
        )

    def _refuse(self, construct: str, advice: str, at: int) -> NoReturn:
        line, column = self._position(at)
        place = f"line {line}, column {column} of the regular expression {self._source!r}"
        raise UnsupportedGrammarError(construct, place=place, advice=advice)

    def _position(self, at: int) -> tuple[int, int]:
        before = self._source[:at]
        return before.count("\n") + 1, at - (before.rfind("\n") + 1) + 1

    def _disjunction(self) -> Node:
        """Disjunction :: Alternative ( | Alternative )*"""
        options = [self._alternative()]
        while self._read("|"):
            options.append(self._alternative())
        return alt(*options)

    def _alternative(self) -> Node:
        """Alternative :: ( Assertion | Atom Quantifier? )*"""
        nodes: list[Node] = []
        while self._at < len(self._source) and not self._check("|") and not self._check(")"):
            nodes.append(self._term())
        return seq(*nodes)

    def _term(self) -> Node:
        start = self._at
        if self._read("^"):
            return self._unquantified(TEXT_START)
        if self._read("$"):
            return self._unquantified(TEXT_END)
        if self._read("\\b"):
            return self._unquantified(word_boundary(_WORD))
        if self._read("\\B"):
            return self._unquantified(no_word_boundary(_WORD, in_empty_text=True))
        if self._read("(?<=") or self._read("(?<!"):
            negative = self._source[self._at - 1] == "!"
            return self._unquantified(Assertion(self._group(start), ahead=False, negative=negative))
        return self._quantified(self._atom())

    def _unquantified(self, node: Node) -> Node:
        if self._at < len(self._source) and (self._source[self._at] in "*+?" or self._braces() is not None):
            self._fail("nothing to repeat")
        return node

    def _atom(self) -> Node:
        r"""Atom :: . | \ AtomEscape | CharacterClass | group | PatternCharacter"""
        start = self._at
        char = self._next()
        if char == ".":
            return Chars(_LINE_END.complement())
        if char == "[":
            return Chars(self._class())
        if char == "\\":
            return Chars(self._escape(start, inside=False))
        if char == "(":
            if self._read("?:"):
                return self._group(start)
            if self._read("?=") or self._read("?!"):
                negative = self._source[self._at - 1] == "!"
                return Assertion(self._group(start), ahead=True, negative=negative)
            if self._read("?<"):
                self._group_name()
            elif self._check("?"):
                self._refuse(
                    f"the group {self._source[start : start + 4]}...",
                    "ECMA-262 has (?:...), (?=...), (?!...), (?<=...), (?<!...) and (?<name>...).",
                    start,
                )
            return self._group(start)
        if char in "*+?":
            self._fail("nothing to repeat", start)
        if char == "{" and self._braces(start) is not None:
            self._fail("nothing to repeat", start)
        return Chars(CharSet.from_chars(char))

    def _group(self, start: int) -> Node:
        node = self._disjunction()
        if not self._read(")"):
            self._fail("missing ), unterminated group", start)
        return node

    def _group_name(self) -> str:
        start = self._at
        end = self._source.find(">", start)
        name = self._source[start:end]
        if end < 0 or not name.replace("$", "_").isidentifier():
            self._fail("invalid group name", start)
        self._at = end + 1
        return name

    def _quantified(self, node: Node) -> Node:
        """Quantifier :: ( * | + | ? | { n } | { n , } | { n , m } ) ??"""
        start = self._at
        if self._read("*"):
            low, high = 0, None
        elif self._read("+"):
            low, high = 1, None
        elif self._read("?"):
            low, high = 0, 1
        else:
            braces = self._braces()
            if braces is None:
                return node
            low, high, self._at = braces
            if high is not None and high < low:
                self._fail("numbers out of order in {} quantifier", start)
        greedy = not self._read("?")
        if self._at < len(self._source) and (self._source[self._at] in "*+?" or self._braces() is not None):
            self._fail("nothing to repeat")
        return repeat(node, low, high, greedy=greedy)

    def _braces(self, at: int | None = None) -> tuple[int, int | None, int] | None:
        """{n}, {n,} or {n,m} as (low, high, end), or None where a brace is only a character."""
        start = self._at if at is None else at
        if not self._source.startswith("{", start):
            return None
        end = self._source.find("}", start)
        low, comma, high = self._source[start + 1 : max(end, start + 1)].partition(",")
        if end < 0 or not _is_number(low) or (high and not _is_number(high)):
            return None
        return int(low), int(high) if high else None if comma else int(low), end + 1

    def _class(self) -> CharSet:
        """CharacterClass :: [ ^? ( ClassAtom | ClassAtom - ClassAtom )* ]"""
        opening = self._at - 1
        negated = self._read("^")
        parts: list[CharSet] = []
        while not self._read("]"):
            if self._at >= len(self._source):
                self._fail("unterminated character class", opening)
            start = self._at
            low = self._class_atom()
            if self._check("-") and not self._check("-]") and self._at + 1 < len(self._source):
                self._at += 1
                high = self._class_atom()
                if len(low) == 1 and len(high) == 1:
                    if low.first() > high.first():
                        self._fail("range out of order in character class", start)
                    parts.append(CharSet.from_ranges([(low.first(), high.first())]))
                else:
                    parts.extend((low, high, CharSet.from_chars("-")))
            else:
                parts.append(low)
        members = NOTHING.union(*parts)
        return members.complement() if negated else members

    def _class_atom(self) -> CharSet:
        start = self._at
        char = self._next()
        return self._escape(start, inside=True) if char == "\\" else CharSet.from_chars(char)

    def _escape(self, start: int, *, inside: bool) -> CharSet:
        """AtomEscape or ClassEscape, behind the backslash at ``start``."""
        if self._at >= len(self._source):
            self._fail(r"\ at the end of the pattern", start)
        char = self._next()
        if char.lower() in _CLASSES and char.isascii():
            found = _CLASSES[char.lower()]
            return found.complement() if char.isupper() else found
        if char in "pP" and self._check("{"):
            found = self._property(start)
            return found.complement() if char == "P" else found
        if char in _CONTROLS:
            return _single(_CONTROLS[char])
        if char == "b" and inside:
            return _single(8)
        if char == "c" and self._at < len(self._source) and self._source[self._at].isascii():
            letter = self._next()
            if letter.isalpha():
                return _single(ord(letter) % 32)
            self._at -= 1
        if char == "x":
            code = self._hex(2)
            if code is not None:
                return _single(code)
        if char == "u":
            code = self._unicode_escape(start)
            if code is not None:
                return _single(code)
        if char.isdigit() and char.isascii():
            return self._decimal_escape(char, start, inside=inside)
        if char == "k" and self._check("<"):
            self._refuse(r"the back-reference \k<...>", "Write the possible texts out.", start)
        if char.isalpha() and char.isascii():
            self._refuse(f"the escape \\{char}", "ECMA-262 has no such escape; write the characters out.", start)
        return CharSet.from_chars(char)

    def _decimal_escape(self, char: str, start: int, *, inside: bool) -> CharSet:
        following = self._source[self._at : self._at + 1]
        if char == "0" and not (following.isdigit() and following.isascii()):
            return _single(0)
        if inside or char == "0" or int(char) > self._groups:
            return self._refuse(f"the octal escape \\{char}", r"Write \xHH.", start)
        return self._refuse(f"the back-reference \\{char}", "Write the possible texts out.", start)

    def _hex(self, digits: int) -> int | None:
        text = self._source[self._at : self._at + digits]
        if len(text) < digits or not _HEX.issuperset(text):
            return None
        self._at += digits
        return int(text, 16)

    def _unicode_escape(self, start: int) -> int | None:
        if self._read("{"):
            end = self._source.find("}", self._at)
            text = self._source[self._at : max(end, self._at)]
            if not text or not _HEX.issuperset(text) or int(text, 16) > 0x10FFFF:
                self._fail("invalid Unicode escape", start)
            self._at = end + 1
            return int(text, 16)
        code = self._hex(4)
        if code is not None and 0xD800 <= code < 0xDC00 and self._check("\\u"):
            here = self._at
            self._at += 2
            low = self._hex(4)
            if low is not None and 0xDC00 <= low < 0xE000:
                return 0x10000 + (code - 0xD800) * 0x400 + low - 0xDC00
            self._at = here
        return code

    def _property(self, start: int) -> CharSet:
        end = self._source.find("}", self._at)
        if end < 0:
            self._fail("unterminated property name", start)
        name = self._source[self._at + 1 : end]
        self._at = end + 1
        if name == "Any":
            return ANY
        if name == "ASCII":
            return CharSet.from_ranges([(0, 0x7F)])
        kind, equals, value = name.partition("=")
        found = None
        if not equals or kind in ("General_Category", "gc"):
            found = general_category(value if equals else name)
        if found is None:
            advice = "General categories such as \\p{Lu} are; write others as a class."
            self._refuse(f"the property \\p{{{name}}}", advice, start)
        return found


def _single(code: int) -> CharSet:
    return CharSet.from_ranges([(code, code)])


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _count_groups(source: str) -> int:
    """The capturing groups of a pattern: a number above it is no back-reference."""
    count = at = 0
    inside = False
    while at < len(source):
        char = source[at]
        if char == "\\":
            at += 1
        elif inside:
            inside = char != "]"
        elif char == "[":
            inside = True
        elif char == "(" and (source[at + 1 : at + 2] != "?" or _is_named(source, at)):
            count += 1
        at += 1
    return count


def _is_named(source: str, at: int) -> bool:
    return source.startswith("(?<", at) and source[at + 3 : at + 4] not in ("=", "!")
