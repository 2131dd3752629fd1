"""Right-hand sides as trees, hash-consed, and how large an automaton each would give.

GBNF has no lexemes: its terminals are characters. A parser that shifts one symbol per character is slow, so everything
that has an automaton of reasonable size becomes one terminal. Whether it is reasonable must be known before the
automaton is built: each node carries the size of its position automaton (Glushkov 1961), computed from its parts.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from grammar_engine.compiler import regex_ast
from grammar_engine.compiler.char_program import UNROLLED_ROUNDS
from grammar_engine.compiler.charset import NOTHING, CharSet
from grammar_engine.compiler.limits import MAX_COUNT

MAX_POSITIONS = 1500
MAX_PAIRS = 12_000
"""Places and transitions of an automaton; what would have more is left to the parser, in parts."""
MAX_DEPTH = 100
"""Levels of a tree; deeper ones are cut into rules."""
_MANY = 1 << 60


class Shape(NamedTuple):
    """A position automaton: places, those that may come first and last, pairs that may follow each other."""

    positions: int
    first: int
    last: int
    pairs: int
    nullable: bool

    def then(self, other: Shape) -> Shape:
        """One after the other."""
        return Shape(
            min(self.positions + other.positions, _MANY),
            min(self.first + (other.first if self.nullable else 0), _MANY),
            min(other.last + (self.last if other.nullable else 0), _MANY),
            min(self.pairs + other.pairs + self.last * other.first, _MANY),
            self.nullable and other.nullable,
        )

    def beside(self, other: Shape) -> Shape:
        """One or the other."""
        return Shape(
            min(self.positions + other.positions, _MANY),
            min(self.first + other.first, _MANY),
            min(self.last + other.last, _MANY),
            min(self.pairs + other.pairs, _MANY),
            self.nullable or other.nullable,
        )

    def unrolled(self, low: int, high: int | None) -> Shape:
        """A copy per round."""
        rounds = max(low, 1) if high is None else high
        ends = rounds if self.nullable else rounds - min(low, rounds) + 1
        steps = rounds * (rounds + 1) // 2 if self.nullable else rounds
        return Shape(
            min(self.positions * rounds, _MANY),
            min(self.first * (rounds if self.nullable else 1), _MANY),
            min(self.last * ends, _MANY),
            min(self.pairs * rounds + self.last * self.first * steps, _MANY),
            low == 0 or self.nullable,
        )

    def looped(self, low: int) -> Shape:
        """One copy and a counter."""
        pairs = min(self.pairs + self.last * self.first, _MANY)
        return self._replace(pairs=pairs, nullable=low == 0)

    def fits(self) -> bool:
        """Is an automaton of this size worth building?"""
        return self.positions <= MAX_POSITIONS and self.pairs + self.first + self.last <= MAX_PAIRS


EMPTY_SHAPE = Shape(0, 0, 0, 0, nullable=True)
FAIL_SHAPE = Shape(0, 0, 0, 0, nullable=False)
_ONE = Shape(1, 1, 1, 0, nullable=False)


class Size(NamedTuple):
    """plain: all loops unrolled; counted: long loops counted, as ``char_program`` would. depth: levels."""

    plain: Shape
    counted: Shape
    depth: int


@dataclass(frozen=True, eq=False)
class Node:
    """refs: the rules that it names. size: of its automaton, if it names none."""

    refs: frozenset[int]
    size: Size

    @property
    def is_terminal(self) -> bool:
        """Is it regular, and of a size that one automaton can have?"""
        return not self.refs and self.size.depth <= MAX_DEPTH and self.size.counted.fits()


@dataclass(frozen=True, eq=False)
class Literal(Node):
    """One non-empty text."""

    text: str


@dataclass(frozen=True, eq=False)
class Chars(Node):
    """One character of a non-empty set."""

    charset: CharSet


@dataclass(frozen=True, eq=False)
class Seq(Node):
    """One after the other; the empty text if there are none."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, eq=False)
class Choice(Node):
    """One of several; no text at all if there are none."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, eq=False)
class Repeat(Node):
    """``low`` to ``high`` rounds; None: no upper bound."""

    part: Node
    low: int
    high: int | None


@dataclass(frozen=True, eq=False)
class Reference(Node):
    """A rule, by number."""

    rule: int


_NO_REFS: frozenset[int] = frozenset()
EMPTY = Seq(_NO_REFS, Size(EMPTY_SHAPE, EMPTY_SHAPE, 0), ())
FAIL = Choice(_NO_REFS, Size(FAIL_SHAPE, FAIL_SHAPE, 0), ())


class Forest:
    """Makes the nodes of one grammar: equal ones once, and simplified. So equality of trees is identity."""

    def __init__(self) -> None:
        self._known: dict[Hashable, Node] = {}

    def literal(self, text: str) -> Node:
        """Exactly this text."""
        if not text:
            return EMPTY
        size = len(text)
        shape = Shape(size, 1, 1, size - 1, nullable=False)
        return self._keep(("literal", text), Literal(_NO_REFS, Size(shape, shape, 1), text))

    def chars(self, charset: CharSet) -> Node:
        """One character of a set."""
        if not charset:
            return FAIL
        return self._keep(("chars", charset), Chars(_NO_REFS, Size(_ONE, _ONE, 1), charset))

    def reference(self, rule: int) -> Node:
        """A rule. (Its size says nothing: nodes that name rules become no automata.)"""
        return self._keep(("reference", rule), Reference(frozenset([rule]), Size(_ONE, _ONE, 1), rule))

    def seq(self, parts: Iterable[Node]) -> Node:
        """One after the other; neighbouring literals are joined."""
        kept: list[Node] = []
        texts: list[str] = []
        for part in parts:
            if part is FAIL:
                return FAIL
            if isinstance(part, Literal):
                texts.append(part.text)
            elif part is not EMPTY:
                if texts:
                    kept.append(self.literal("".join(texts)))
                    texts.clear()
                kept.append(part)
        if texts:
            kept.append(self.literal("".join(texts)))
        if len(kept) < 2:
            return kept[0] if kept else EMPTY
        return self._keep(("seq", *map(id, kept)), Seq(_refs(kept), _seq_size(kept), tuple(kept)))

    def choice(self, parts: Iterable[Node]) -> Node:
        """One of several; single characters are joined into one set."""
        kept: dict[Node, None] = {}
        sets: list[CharSet] = []
        place: Node | None = None
        for part in parts:
            charset = _charset(part)
            if charset:
                sets.append(charset)
                if place is None:
                    place = part
                    kept[part] = None
            elif part is not FAIL:
                kept[part] = None
        listed = list(kept)
        if place is not None and len(sets) > 1:
            listed[listed.index(place)] = self.chars(sets[0].union(*sets[1:]))
        if len(listed) < 2:
            return listed[0] if listed else FAIL
        return self._keep(("choice", *map(id, listed)), Choice(_refs(listed), _choice_size(listed), tuple(listed)))

    def repeat(self, part: Node, low: int, high: int | None) -> Node:
        """``low`` to ``high`` rounds; loops of loops are folded into one where that is the same."""
        if high == 0 or part is EMPTY:
            return EMPTY
        if part is FAIL:
            return FAIL if low else EMPTY
        if (low, high) == (1, 1):
            return part
        if isinstance(part, Repeat):
            if part.high is None and part.low <= 1:
                return self.repeat(part.part, part.low * low, None)
            if part.low == 0 and (part.high == 1 or high is None):
                return self.repeat(part.part, 0, high)
        size = Size(
            part.size.plain.unrolled(low, high),
            part.size.plain.looped(low) if is_counted(part.size, low, high) else part.size.counted.unrolled(low, high),
            part.size.depth + 1,
        )
        return self._keep(("repeat", id(part), low, high), Repeat(part.refs, size, part, low, high))

    def optional(self, part: Node) -> Node:
        """The part or nothing."""
        return self.repeat(part, 0, 1)

    def star(self, part: Node) -> Node:
        """Any number of rounds."""
        return self.repeat(part, 0, None)

    def rebuild(self, node: Node, parts: Sequence[Node]) -> Node:
        """A node of the same kind with other parts."""
        if isinstance(node, Seq):
            return self.seq(parts)
        if isinstance(node, Choice):
            return self.choice(parts)
        if isinstance(node, Repeat):
            return self.repeat(parts[0], node.low, node.high)
        return node

    def _keep(self, key: Hashable, node: Node) -> Node:
        return self._known.setdefault(key, node)


def parts_of(node: Node) -> tuple[Node, ...]:
    """The nodes directly below."""
    if isinstance(node, (Seq, Choice)):
        return node.parts
    return (node.part,) if isinstance(node, Repeat) else ()


def is_counted(size: Size, low: int, high: int | None) -> bool:
    """Will ``char_program`` count such a loop? (its rule, on sizes)"""
    rounds = low if high is None else high
    if rounds <= UNROLLED_ROUNDS or rounds > MAX_COUNT or size.plain.nullable:
        return False
    return size.plain.positions <= rounds * size.counted.positions


def to_regex(node: Node) -> regex_ast.Node:
    """The tree of a node that names no rules, in the terms of patterns."""
    if isinstance(node, Literal):
        return regex_ast.text(node.text)
    if isinstance(node, Chars):
        return regex_ast.chars(node.charset)
    if isinstance(node, Seq):
        return regex_ast.seq(*map(to_regex, node.parts))
    if isinstance(node, Choice):
        return regex_ast.alt(*map(to_regex, node.parts))
    if isinstance(node, Repeat):
        return regex_ast.repeat(to_regex(node.part), node.low, node.high)
    raise ValueError("a node that names rules is no regular expression")


def _charset(node: Node) -> CharSet:
    """The characters of a node that is one character; else none."""
    if isinstance(node, Chars):
        return node.charset
    if isinstance(node, Literal) and len(node.text) == 1:
        return CharSet.from_chars(node.text)
    return NOTHING


def _refs(parts: Sequence[Node]) -> frozenset[int]:
    return frozenset().union(*(part.refs for part in parts if part.refs))


def _seq_size(parts: Sequence[Node]) -> Size:
    plain = counted = EMPTY_SHAPE
    for part in parts:
        plain, counted = plain.then(part.size.plain), counted.then(part.size.counted)
    return Size(plain, counted, 1 + max(part.size.depth for part in parts))


def _choice_size(parts: Sequence[Node]) -> Size:
    plain = counted = FAIL_SHAPE
    for part in parts:
        plain, counted = plain.beside(part.size.plain), counted.beside(part.size.counted)
    return Size(plain, counted, 1 + max(part.size.depth for part in parts))
