"""Regular expressions as trees, and helpers to write such trees in code.

The tree is neutral to its dialect: whatever a flag or a dialect says about case, `.`, `\\w` or `$` has become
character sets and assertions by the time a node exists. ``parse_regex`` reads Python's syntax
(``compiler/python_regex.py``) or ECMA-262's (``compiler/ecma_regex.py``).

Every assertion is a look-around: `^` is "no character stands before", `$` is "no character follows, or only a final
newline". One construction then carries them all (``compiler/assertions.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from grammar_engine.compiler.charset import ANY, NOTHING, CharSet

Dialect = Literal["python", "ecma"]


@dataclass(frozen=True)
class Empty:
    """The empty text."""


@dataclass(frozen=True)
class Chars:
    """One character of a set; with the empty set, no text at all."""

    charset: CharSet


@dataclass(frozen=True)
class Concat:
    """One after the other; at least two."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True)
class Alternate:
    """One of several, the first preferred; at least two."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True)
class Repeat:
    """``min`` to ``max`` rounds (None: no upper bound); greedy prefers one more round, lazy prefers to go on."""

    node: Node
    min: int
    max: int | None
    greedy: bool = True


@dataclass(frozen=True)
class Assertion:
    """Reads nothing; holds where ``node`` matches just after (``ahead``) or just before this place, or does not."""

    node: Node
    ahead: bool
    negative: bool = False


Node = Empty | Chars | Concat | Alternate | Repeat | Assertion

EMPTY = Empty()
FAIL = Chars(NOTHING)
ANY_CHAR = Chars(ANY)
ANY_TEXT = Repeat(ANY_CHAR, 0, None)
_NEWLINE = Chars(CharSet.from_chars("\n"))

TEXT_START = Assertion(ANY_CHAR, ahead=False, negative=True)
TEXT_END = Assertion(ANY_CHAR, ahead=True, negative=True)
#: Python's `$`: at the end, and before a newline that ends the text.
TEXT_END_OR_NEWLINE = Assertion(Alternate((TEXT_END, Concat((_NEWLINE, TEXT_END)))), ahead=True)
#: `^` and `$` under (?m).
LINE_START = Assertion(Chars(_NEWLINE.charset.complement()), ahead=False, negative=True)
LINE_END = Assertion(Chars(_NEWLINE.charset.complement()), ahead=True, negative=True)


def chars(members: str | CharSet) -> Node:
    """One of the characters of a string, or of a set."""
    return Chars(members if isinstance(members, CharSet) else CharSet.from_chars(members))


def text(value: str) -> Node:
    """Exactly this text."""
    return seq(*(Chars(CharSet.from_chars(char)) for char in value))


def seq(*nodes: Node) -> Node:
    """One after the other, flattened."""
    flat: list[Node] = []
    for node in nodes:
        if isinstance(node, Concat):
            flat.extend(node.nodes)
        elif not isinstance(node, Empty):
            flat.append(node)
    if len(flat) == 1:
        return flat[0]
    return Concat(tuple(flat)) if flat else EMPTY


def alt(*nodes: Node) -> Node:
    """One of these, the first preferred; without any, no text at all. Neighbouring character sets are joined."""
    flat: list[Node] = []
    for node in nodes:
        for option in node.nodes if isinstance(node, Alternate) else (node,):
            if isinstance(option, Chars) and flat and isinstance(flat[-1], Chars):
                flat[-1] = Chars(flat[-1].charset.union(option.charset))
            else:
                flat.append(option)
    if len(flat) == 1:
        return flat[0]
    return Alternate(tuple(flat)) if flat else FAIL


def repeat(node: Node, low: int, high: int | None, *, greedy: bool = True) -> Node:
    """``low`` to ``high`` rounds, None for no upper bound; a repeated star or option is folded into one loop."""
    if high == 0 or isinstance(node, Empty):
        return EMPTY
    if (low, high) == (1, 1):
        return node
    if isinstance(node, Repeat) and node.greedy == greedy and node.min == 0 and node.max in (1, None):
        # (x?){2,5} is x{0,5} and (x*){2,5} is x*: the rounds that match nothing are worth nothing.
        return Repeat(node.node, 0, high if node.max == 1 else None, greedy)
    return Repeat(node, low, high, greedy)


def optional(node: Node) -> Node:
    """``node`` or nothing."""
    return repeat(node, 0, 1)


def word_boundary(words: CharSet) -> Node:
    r"""`\b`: a member of ``words`` on exactly one side."""
    word = Chars(words)
    return alt(
        seq(Assertion(word, False), Assertion(word, True, True)),
        seq(Assertion(word, False, True), Assertion(word, True)),
    )


def no_word_boundary(words: CharSet, *, in_empty_text: bool) -> Node:
    r"""`\B`: a member of ``words`` on both sides or on neither.

    ``in_empty_text``: whether it holds in the empty text, as in ECMA-262 and Python 3.14, unlike Python before.
    """
    word, other = Chars(words), Chars(words.complement())
    inside = seq(Assertion(word, False), Assertion(word, True))
    if in_empty_text:
        return alt(inside, seq(Assertion(word, False, True), Assertion(word, True, True)))
    return alt(
        inside,
        seq(Assertion(other, False), Assertion(word, True, True)),
        seq(TEXT_START, Assertion(other, True)),
    )


def is_nullable(node: Node) -> bool:
    """Whether the node can match without reading (assertions taken as holding)."""
    if isinstance(node, (Empty, Assertion)):
        return True
    if isinstance(node, Concat):
        return all(map(is_nullable, node.nodes))
    if isinstance(node, Alternate):
        return any(map(is_nullable, node.nodes))
    if isinstance(node, Repeat):
        return node.min == 0 or is_nullable(node.node)
    return False


def has_assertion(node: Node) -> bool:
    """Whether an assertion stands anywhere in the node."""
    if isinstance(node, (Concat, Alternate)):
        return any(map(has_assertion, node.nodes))
    if isinstance(node, Repeat):
        return has_assertion(node.node)
    return isinstance(node, Assertion)


def parse_regex(pattern: str, *, flags: int = 0, dialect: Dialect = "python") -> Node:
    """The tree of a pattern.

    ``flags``: as for ``re.compile`` (Python's dialect only). Raises GrammarSyntaxError (line, column) where the
    dialect's own engine would refuse the pattern, UnsupportedGrammarError for back-references, conditional groups,
    atomic groups and possessive quantifiers.
    """
    if dialect == "python":
        from grammar_engine.compiler.python_regex import parse_python_regex

        return parse_python_regex(pattern, flags)
    if flags:
        raise ValueError("flags belong to Python's dialect")
    from grammar_engine.compiler.ecma_regex import parse_ecma_regex

    return parse_ecma_regex(pattern)
