"""From automata over characters to automata over bytes: the spellings of a text.

``to_utf8``: the one UTF-8 encoding of every text. ``to_json_string``: every JSON string, quotes included, whose value
is one of the texts: a character stands for itself in UTF-8 where RFC 8259 allows that, and for itself too in each of
its escapes: `\\n`, `\\u000a`, `\\u000A`, surrogate pairs beyond the basic plane. Lone surrogates are no texts.
``to_plain_json_string``: one of those for every text.

Every label is spelled by a trie (``utf8.py``); states behind its branches are shared per (trie node, target).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from grammar_engine.compiler.automaton import KEEP, MATCH, ByteAutomaton, Int32Array
from grammar_engine.compiler.char_automaton import CharAutomaton
from grammar_engine.compiler.char_states import ACCEPT, Edge, States
from grammar_engine.compiler.charset import ANY, CharSet, Range
from grammar_engine.compiler.errors import LimitExceededError, UnsatisfiableGrammarError
from grammar_engine.compiler.limits import MAX_COUNT
from grammar_engine.compiler.utf8 import Branches, Template, TrieNode, branch_template, digit_trie, node, utf8_trie

_QUOTE, _BACKSLASH = 0x22, 0x5C
_RAW = CharSet.from_ranges([(0x20, 0x21), (0x23, 0x5B), (0x5D, 0x10FFFF)])
_ESCAPES = {0x22: '"', 0x5C: "\\", 0x2F: "/", 0x08: "b", 0x0C: "f", 0x0A: "n", 0x0D: "r", 0x09: "t"}
COMMON_LABEL = 8  # targets
FEW_LABELS = 16
_HEX = ((0, 9, ord("0")), (10, 15, ord("A")), (10, 15, ord("a")))
_LOWER_HEX = (_HEX[0], _HEX[2])
_CONTROLS = CharSet.from_ranges([(0x00, 0x07), (0x0B, 0x0B), (0x0E, 0x1F)])  # that have no short escape


def to_utf8(automaton: CharAutomaton, *, key: str = "") -> ByteAutomaton:
    """The UTF-8 encodings of the non-empty texts of a language.

    The empty text has no place in a terminal: ask ``automaton.accepts_empty()``. ``key``: see ``ByteAutomaton``.
    Raises UnsatisfiableGrammarError if no non-empty text is left.
    """
    builder = _Builder(utf8_trie)
    states = automaton.states
    entered_again = any(edge.target == 0 for edges in states for edge in edges)
    if any(edge.target < 0 for edge in states[0]):
        if entered_again:
            # The start may match where it is come back to, not where it starts: it becomes two states.
            states = (states[0], *states[1:], states[0])
            states = tuple(
                tuple(edge._replace(target=len(states) - 1) if edge.target == 0 else edge for edge in edges)
                for edges in states
            )
        states = (tuple(edge for edge in states[0] if edge.target >= 0), *states[1:])
    if not states[0]:
        raise UnsatisfiableGrammarError("no non-empty text is in the language")
    builder.reserve(len(states))
    for number, edges in enumerate(states):
        for edge in edges:
            if edge.target < 0:
                builder.enter(number, edge.target, edge.op, edge.bound)
            else:
                builder.spell(number, edge, edge.target)
    return builder.finish(key)


def to_json_string(automaton: CharAutomaton, *, key: str = "") -> ByteAutomaton:
    """The JSON strings, quotes included, whose values are the texts of a language.

    Raises UnsatisfiableGrammarError for the empty language.
    """
    return _quoted(automaton, _Builder(json_trie, _json_template, _common_labels(automaton)), key, "json")


def to_plain_json_string(automaton: CharAutomaton, *, key: str = "") -> ByteAutomaton:
    """The same in one spelling each, that of ``json.dumps(text, ensure_ascii=False)``: escapes only where they must be.

    Raises UnsatisfiableGrammarError for the empty language.
    """
    return _quoted(automaton, _Builder(plain_trie), key, "plain json")


def _common_labels(automaton: CharAutomaton) -> frozenset[CharSet] | None:
    """The labels that lead to many states of a deterministic automaton: copied as a whole they are spelled faster.

    None, which is all of them, for other automata. Many labels, those of scripts say, have much in
    common, so that sharing finds more: then none.
    """
    if not automaton.deterministic:
        return None
    moves = {
        (edge.label, edge.target)
        for edges in automaton.states
        for edge in edges
        if edge.label and edge.label.ranges[-1][1] > 0x7F
    }
    targets = Counter(label for label, _ in moves)
    if len(targets) > FEW_LABELS:
        return frozenset()
    return frozenset(label for label, count in targets.items() if count >= COMMON_LABEL)


def _settled(states: States) -> frozenset[int]:
    """The states behind which every text is in the language."""
    return frozenset(
        number
        for number, edges in enumerate(states)
        if ACCEPT in edges and any(edge == (ANY, number, KEEP, 0) for edge in edges)
    )


def _quoted(automaton: CharAutomaton, builder: _Builder, key: str, spelling: str) -> ByteAutomaton:
    if automaton.is_empty():
        raise UnsatisfiableGrammarError("no text is in the language")
    states = automaton.states
    end = len(states) + 1
    builder.reserve(end + 1)
    for number in _settled(states):
        builder.settle(number + 1)
    builder.read(0, _QUOTE, 1)
    for number, edges in enumerate(states, start=1):
        for edge in edges:
            if edge.target == MATCH:
                builder.read(number, _QUOTE, end, edge.op, edge.bound)
            else:
                builder.spell(number, edge, edge.target + 1)
    builder.enter(end, MATCH)
    return builder.finish(key, spelling)


@lru_cache(maxsize=512)
def any_json_string(min_length: int = 0, max_length: int | None = None) -> ByteAutomaton:
    """Every JSON string of so many characters, counted in Unicode scalar values (an escape or a pair is one)."""
    low, high = max(min_length, 0), "" if max_length is None else str(max_length)
    key = "json-string" if low == 0 and not high else f"json-string:{low}:{high}"
    return to_json_string(CharAutomaton.any_string(low, max_length), key=key)


@lru_cache(maxsize=2048)
def json_trie(charset: CharSet) -> Branches:
    """The branches that spell exactly the ways in which the members of a set may stand in a JSON string."""
    raw = utf8_trie(charset.intersect(_RAW))
    short = tuple(
        (ord(letter), ord(letter), None)
        for code, letter in sorted(_ESCAPES.items(), key=lambda item: item[1])
        if code in charset
    )
    units = _hex_units(charset)
    escaped = (*short, (0x75, 0x75, node(units)))
    return (*raw, (_BACKSLASH, _BACKSLASH, node(escaped))) if charset else ()


@lru_cache(maxsize=2048)
def plain_trie(charset: CharSet) -> Branches:
    """The branches that spell each member of a set in one way."""
    raw = utf8_trie(charset.intersect(_RAW))
    short = tuple(
        (ord(letter), ord(letter), None)
        for code, letter in sorted(_ESCAPES.items(), key=lambda item: item[1])
        if code in charset and code not in _RAW
    )
    units = _control_units(charset.intersect(_CONTROLS))
    escaped = (*short, (0x75, 0x75, node(units))) if units else short
    return (*raw, (_BACKSLASH, _BACKSLASH, node(escaped))) if escaped else raw


@lru_cache(maxsize=512)
def _control_units(controls: CharSet) -> Branches:
    """What may follow `\\u` where other escapes are not needed."""
    return () if controls.is_empty() else digit_trie(controls.ranges, 4, 4, _LOWER_HEX)


_LabelTemplate = tuple[tuple[tuple[int, int, int], ...], Template]


@lru_cache(maxsize=512)
def _json_template(charset: CharSet) -> _LabelTemplate:
    return branch_template(json_trie(charset))


def _hex_units(charset: CharSet) -> Branches:
    """What may follow `\\u`: four digits, or a pair of surrogates with another `\\u` in between."""
    plain: list[Range] = [(low, min(high, 0xFFFF)) for low, high in charset.ranges if low <= 0xFFFF]
    astral: list[Range] = [
        (max(low, 0x10000) - 0x10000, high - 0x10000) for low, high in charset.ranges if high >= 0x10000
    ]
    branches = digit_trie(tuple(plain), 4, 4, _HEX) if plain else ()
    if not astral:
        return branches
    high_surrogates = _high_surrogates(tuple(astral))
    result: list[tuple[int, int, TrieNode | None]] = []
    for low, high, below in branches:
        # The digit D leads to both kinds of code unit; surrogates are no scalar values, so no range reaches past it.
        for letter in (ord("D"), ord("d")):
            if low <= letter <= high:
                if low < letter:
                    result.append((low, letter - 1, below))
                both = (*(below.branches if below else ()), *high_surrogates)
                result.append((letter, letter, node(both)))
                low = letter + 1
        if low <= high:
            result.append((low, high, below))
    if not any(low <= ord("d") <= high for low, high, _ in result):
        result.extend((ord(letter), ord(letter), node(high_surrogates)) for letter in "Dd")
    return tuple(result)


@lru_cache(maxsize=256)  # nearly every negated class has the same astral part, all of it
def _high_surrogates(astral: tuple[Range, ...]) -> Branches:
    """The digits behind `\\uD` for the high surrogates of astral code points, given less 0x10000: 2, 4 and 4 bits,
    then `\\uD` and as many for the low surrogate.
    """
    groups: dict[tuple[Range, ...], list[Range]] = {}
    for high, lows in _by_high_surrogate(astral):
        groups.setdefault(lows, []).append(high)
    cells: list[tuple[int, int, TrieNode]] = []
    for lows, highs in groups.items():
        below = node(_low_surrogates(lows))
        cells.extend((first, last, below) for first, last in highs)
    return _two_four_four(sorted(cells, key=lambda cell: cell[0]))


def _by_high_surrogate(astral: tuple[Range, ...]) -> list[tuple[Range, tuple[Range, ...]]]:
    """(range of ten-bit high parts, ranges of ten-bit low parts that they go with)."""
    partial: dict[int, list[Range]] = {}
    found: list[tuple[Range, tuple[Range, ...]]] = []
    for low, high in astral:
        while low <= high:
            digit = low >> 10
            if low & 0x3FF == 0 and high - low >= 0x3FF:
                count = (high - low + 1) >> 10
                found.append(((digit, digit + count - 1), ((0, 0x3FF),)))
                low += count << 10
                continue
            end = min(high, (digit << 10) | 0x3FF)
            partial.setdefault(digit, []).append((low & 0x3FF, end & 0x3FF))
            low = end + 1
    found.extend(((digit, digit), tuple(ranges)) for digit, ranges in partial.items())
    return found


def _low_surrogates(ranges: tuple[Range, ...]) -> Branches:
    digits = digit_trie(tuple((0xC00 + low, 0xC00 + high) for low, high in ranges), 3, 4, _HEX)
    after_u = tuple((ord(letter), ord(letter), node(digits)) for letter in "Dd")
    after_backslash = ((ord("u"), ord("u"), node(after_u)),)
    return ((_BACKSLASH, _BACKSLASH, node(after_backslash)),)


def _two_four_four(cells: list[tuple[int, int, TrieNode]]) -> Branches:
    """Spell ten-bit numbers from 0x800 on with three digits, each range going on to its own node."""
    filled: dict[tuple[int, TrieNode], TrieNode] = {}

    def continued(inside: list[tuple[int, int, TrieNode]], shift: int) -> TrieNode:
        """The digits below one; where all of them lead to the same, worked out once."""
        low, high, below = inside[0]
        if low or high < (16 << shift) - 1:
            return node(level(inside, shift))
        known = filled.get((shift, below))
        if known is None:
            known = filled[shift, below] = node(level(inside, shift))
        return known

    def level(inside: list[tuple[int, int, TrieNode]], shift: int) -> Branches:
        if shift < 0:
            raise ValueError("a number has three digits")
        branches: list[tuple[int, int, TrieNode | None]] = []
        for first, last, base in _HEX:
            for digit in range(first, last + 1):
                bottom, top = digit << shift, ((digit + 1) << shift) - 1
                here = [
                    (max(low, bottom) - bottom, min(high, top) - bottom, below)
                    for low, high, below in inside
                    if low <= top and high >= bottom
                ]
                if not here:
                    continue
                below = here[0][2] if shift == 0 else continued(here, shift - 4)
                byte = base + digit - first
                if branches and branches[-1][2] is below and branches[-1][1] == byte - 1:
                    branches[-1] = (branches[-1][0], byte, below)
                else:
                    branches.append((byte, byte, below))
        return tuple(branches)

    return level([(0x800 + low, 0x800 + high, below) for low, high, below in cells], 8)


class _Builder:
    """Collects the states of a byte automaton; states behind trie nodes are made when first needed.

    The escapes of an ASCII label are few and the same on many edges, so they are only noted down as a copy of a
    template, and all copies are written at once at the end. Labels beyond ASCII share states node by node, where many
    lead to one target as in a deterministic automaton; else they are copied too (``whole``: the template of a label).
    """

    def __init__(
        self,
        spelling: Callable[[CharSet], Branches],
        whole: Callable[[CharSet], _LabelTemplate] | None = None,
        copied: frozenset[CharSet] | None = frozenset(),
    ) -> None:
        """copied: the labels whose spellings are copied as a whole, None for all."""
        self._spelling = spelling
        self._whole = whole
        self._copied_labels = copied
        self._settled: set[int] = set()
        self._spelled: dict[tuple[CharSet, int], list[tuple[int, int, int]]] = {}
        self._entries: list[list[tuple[int, int, int]]] = []
        self._positions: dict[tuple[int, int, int], int] = {}
        self._behind: dict[tuple[TrieNode, int], int] = {}
        self._copies = _Copies()

    def reserve(self, count: int) -> None:
        """States 0 to count - 1 are the caller's."""
        self._entries.extend([] for _ in range(count))

    def settle(self, state: int) -> None:
        """Every text is in the language from here on: so it is inside each character that leads here."""
        self._settled.add(state)

    def enter(self, state: int, position: int, op: int = KEEP, bound: int = 0) -> None:
        self._entries[state].append((position, op, bound))

    def read(self, state: int, byte: int, target: int, op: int = KEEP, bound: int = 0) -> None:
        self.enter(state, self._position(byte, byte, target), op, bound)

    def spell(self, state: int, edge: Edge, target: int) -> None:
        """Add all spellings of an edge's label."""
        append = self._entries[state].append
        label, _, op, bound = edge
        positions = self._positions
        ascii_only = label.ranges[-1][1] < 0x80
        settling = target in self._settled and label == ANY
        if (
            self._whole is not None
            and not ascii_only
            and not settling
            and (self._copied_labels is None or label in self._copied_labels)
        ):
            for move in self._copied(label, target):
                append((positions.setdefault(move, len(positions)), op, bound))
            return
        for low, high, below in self._spelling(label):
            if below is None:
                behind = target
            elif ascii_only:
                behind = self._copy(below, target)
            else:
                behind = self._continue(below, target)
                if settling:
                    self._settle_below(below, target)
            append((positions.setdefault((low, high, behind), len(positions)), op, bound))

    def finish(self, key: str, spelling: str = "") -> ByteAutomaton:
        own = len(self._entries)
        counts = [len(entries) for entries in self._entries]
        flat = [entry for entries in self._entries for entry in entries]
        try:
            entries = np.array(flat, np.int32).reshape(-1, 3)
        except OverflowError:
            entries = np.empty((0, 3), np.int32)
        if len(entries) < len(flat) or int(np.abs(entries[:, 2]).max(initial=0)) > MAX_COUNT:
            given = max(abs(bound) for _, _, bound in flat)
            raise LimitExceededError("a repetition is counted too far", limit=f"{MAX_COUNT}", given=given)
        positions = np.array(list(self._positions), np.int32).reshape(-1, 3)
        copied, copied_counts = self._copies.write(own)
        in_copies = positions[:, 2] < 0
        positions[in_copies, 2] = own + ~positions[in_copies, 2]
        copied_entries = np.zeros((len(copied), 3), np.int32)
        copied_entries[:, 0] = np.arange(len(positions), len(positions) + len(copied))
        offsets = np.zeros(own + len(copied_counts) + 1, np.int32)
        np.cumsum(np.concatenate([np.array(counts, np.int32), copied_counts]), out=offsets[1:])
        positions = np.concatenate([positions, copied])
        entries = np.concatenate([entries, copied_entries])
        settled = -1
        if self._settled:
            offsets, entries, number = _put_last(offsets, entries, self._settled)
            positions[:, 2] = number[positions[:, 2]]
            settled = len(number) - len(self._settled)
        return ByteAutomaton(
            positions=positions, offsets=offsets, entries=entries, key=key, settled=settled, spelling=spelling
        )

    def _position(self, low: int, high: int, target: int) -> int:
        return self._positions.setdefault((low, high, target), len(self._positions))

    def _continue(self, trie: TrieNode, target: int) -> int:
        """The state from which a trie node leads to ``target``."""
        state = self._behind.get((trie, target))
        if state is None:
            state = self._behind[trie, target] = len(self._entries)
            self._entries.append([])
            positions = self._positions
            reached: list[tuple[int, int, int]] = []
            for low, high, below in trie.branches:  # inline: most of the time of a large automaton is spent here
                position = (low, high, target if below is None else self._continue(below, target))
                reached.append((positions.setdefault(position, len(positions)), KEEP, 0))
            self._entries[state] = reached
        return state

    def _settle_below(self, trie: TrieNode, target: int) -> None:
        self._settled.add(self._behind[trie, target])
        for _, _, below in trie.branches:
            if below is not None and self._behind[below, target] not in self._settled:
                self._settle_below(below, target)

    def _copied(self, label: CharSet, target: int) -> list[tuple[int, int, int]]:
        """The first moves of a label's spellings."""
        moves = self._spelled.get((label, target))
        if moves is None and self._whole is not None:
            heads, template = self._whole(label)
            first = self._copies.add(template, target) if len(template.counts) else 0
            moves = [(low, high, target if number < 0 else ~(first + number)) for low, high, number in heads]
            self._spelled[label, target] = moves
        return moves or []

    def _copy(self, trie: TrieNode, target: int) -> int:
        """The same as ``~n``, for state n of the copies."""
        state = self._behind.get((trie, target))
        if state is None:
            state = self._behind[trie, target] = ~self._copies.add(trie.template, target)
        return state


def _put_last(offsets: Int32Array, entries: Int32Array, last: set[int]) -> tuple[Int32Array, Int32Array, Int32Array]:
    """Offsets and entries with some states, the start not among them, put behind all others; and the new numbers."""
    chosen = np.zeros(len(offsets) - 1, bool)
    chosen[list(last)] = True
    order = np.concatenate([np.flatnonzero(~chosen), np.flatnonzero(chosen)])
    number = np.empty(len(order), np.int32)
    number[order] = np.arange(len(order))
    counts = np.diff(offsets)[order]
    moved = np.zeros(len(offsets), np.int32)
    np.cumsum(counts, out=moved[1:])
    taken = np.arange(len(entries)) + np.repeat(offsets[:-1][order] - moved[:-1], counts)
    return moved, entries[taken], number


class _Copies:
    """Copies of templates, each leading to a target of its own."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._templates: list[Template] = []
        self._of: list[int] = []
        self._firsts: list[int] = []
        self._targets: list[int] = []
        self._states = 0

    def add(self, template: Template, target: int) -> int:
        """Note one down; the number of its first state among those of all copies."""
        number = self._numbers.get(id(template))
        if number is None:
            number = self._numbers[id(template)] = len(self._templates)
            self._templates.append(template)
        first = self._states
        self._of.append(number)
        self._firsts.append(first)
        self._targets.append(target)
        self._states = first + len(template.counts)
        return first

    def write(self, base: int) -> tuple[Int32Array, Int32Array]:
        """The positions of all copies, whose states are numbered from ``base``; and how many each state has."""
        if not self._of:
            return np.zeros((0, 3), np.int32), np.zeros(0, np.int32)
        of = np.array(self._of)
        which, moves = concatenated([template.moves for template in self._templates], of)
        _, counts = concatenated([template.counts for template in self._templates], of)
        behind = moves[:, 2]
        ends = behind < 0
        behind += np.array(self._firsts, np.int32)[which] + base
        behind[ends] = np.array(self._targets, np.int32)[which[ends]]
        return moves, counts


def concatenated(pieces: list[Int32Array], order: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], Int32Array]:
    """Pieces one after the other in an order that may repeat them; and for each row of that, its place in the order."""
    sizes = np.array([len(piece) for piece in pieces])
    starts = np.cumsum(sizes) - sizes
    taken = sizes[order]
    which = np.repeat(np.arange(len(order)), taken)
    before = np.cumsum(taken) - taken
    rows = np.arange(len(which)) + (starts[order] - before)[which]
    return which, np.concatenate(pieces)[rows]
