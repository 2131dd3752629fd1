"""What the guards of a grammar (``guard.py``) must know of a vocabulary: which few tokens could be wrong somewhere.

Tokens that end a given string are looked up in the trie; all others that matter hold several marks (a comma and a
quote behind it, say), are few, and are listed once per vocabulary.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from grammar_engine.compiler.token_trie import TokenTrie
from grammar_engine.kernels.trie import NODE_SIZE, V_CHILDREN, any_set

MAX_KNOWN = 8192
"""Answers kept per vocabulary; then all are forgotten."""

Row = npt.NDArray[np.uint32]
Ids = npt.NDArray[np.int32]

_QUOTE, _BACKSLASH = b'"\\'
BLANKS = b" \t\r\n"
_HEAD = re.compile(rb'((?:[^"\\]|\\.)*)"', re.DOTALL)
_SHORT = {'"': '"', "\\": "\\", "/": "/", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}


class TokenSet:
    """A few tokens, to be looked for in masks."""

    __slots__ = ("_bits", "_words", "ids")

    def __init__(self, ids: Iterable[int]) -> None:
        array = np.array(sorted(set(ids)), np.int64)
        self.ids: Ids = array.astype(np.int32)
        self._words = array >> 5
        self._bits = np.uint32(1) << (array & 31).astype(np.uint32)

    def within(self, row: Row) -> list[int]:
        """Those of the tokens that a mask allows."""
        if not any_set(row, self.ids):
            return []
        found: list[int] = self.ids[row[self._words] & self._bits != 0].tolist()
        return found


class GuardTokens:
    """The tokens of one vocabulary by the quotes, commas and brackets in them.

    Which of those bytes are marks and which stand in a string depends on where a token begins; so the sets below hold
    every token whose bytes look so, and perhaps a few too many.
    """

    def __init__(self, tokens: Sequence[bytes | None], trie: TokenTrie) -> None:
        self.tokens = tokens
        self.trie = trie
        self._known: dict[tuple[bytes, bytes], Ids | None] = {}
        self._children: dict[int, dict[int, int]] = {}
        self._beginnings: dict[tuple[bytes, bytes, bytes], tuple[int, ...]] = {}
        self._arrays: dict[tuple[int, ...], Ids] = {}
        self.is_marked = bytearray(len(tokens))
        """Per token: does it hold any byte that may change what the next one means?"""
        for token in self._holding(b'"\\{}[],'):
            self.is_marked[token] = 1
        with_quote = self._holding(b'"')
        self._sort_by_strings(with_quote)
        with_comma = self._holding(b",")
        self.has_bracket = bytearray(len(tokens))
        for token in self._holding(b"["):
            self.has_bracket[token] = 1

        def looking(pattern: bytes, among: Iterable[int]) -> TokenSet:
            look = re.compile(pattern, re.DOTALL).search
            return TokenSet(token for token in among if look(tokens[token] or b""))

        blanks = b"[ \t\r\n]*"
        opener = re.compile(blanks + b'"').match
        openers = {found[0]: None for token in with_quote if (found := opener(tokens[token] or b"")) is not None}
        self.name_openers = tuple(openers)
        """Blanks and a quote, as tokens begin with them."""
        self.dividing = TokenSet(with_comma)
        self.next_names = looking(b"," + blanks + b'".', with_comma)
        """Tokens in which a name begins behind a comma, and a little of it follows."""
        both = set(with_quote).intersection(with_comma)
        self.names_and_comma = looking(b'".*".*,', both)
        """Tokens in which a comma follows a name that they hold."""
        self.next_items = looking(b"," + blanks + b"[^ \t\r\n]", with_comma)
        """Tokens in which something follows a comma."""
        self.next_items_behind_string = looking(b'".*,' + blanks + b"[^ \t\r\n]", both)
        self.dividing_behind_string = looking(b'".*,', both)
        self.opening_two = looking(rb"\[.*,", with_comma)
        """Tokens in which a comma follows an opening bracket."""
        self.opening_any_two = looking(rb"[{\[].*,", with_comma)
        """The same with brackets and braces. reopening_two: behind the end of another value."""
        self.reopening_two = looking(rb"[}\]].*[{\[].*,", with_comma)
        self.opening_two_behind_string = looking(rb'".*\[.*,', both)
        self.next_strings = looking(b'"' + blanks + b"," + blanks + b'".*"', both)
        """Tokens that end a string, and hold another one behind a comma."""
        self.two_strings = looking(b'".*".*".*"', both)

    def _sort_by_strings(self, with_quote: Sequence[int]) -> None:
        tokens = self.tokens
        whole: dict[bytes, dict[int, None]] = {}
        items: dict[bytes, dict[int, None]] = {}
        ending: dict[bytes, dict[int, None]] = {}
        ending_behind: dict[bytes, dict[int, None]] = {}
        by_head: dict[bytes, list[int]] = {}
        twice: list[int] = []
        loud_in_string: set[int] = set()
        for token in with_quote:
            text = tokens[token] or b""
            head = _head(text)
            if head is not None:
                by_head.setdefault(head, []).append(token)
            pieces = text.split(b'"')
            names: list[tuple[int, int, bytes]] = []
            first_names: list[tuple[int, int, bytes]] = []
            for first, last in itertools.combinations(range(1, len(pieces)), 2):
                is_name, is_item = _may_be_name(pieces, first, last), _may_be_item(pieces, first, last)
                is_first = _may_be_first_name(pieces, first, last)
                value = _value(b'"'.join(pieces[first:last])) if is_name or is_item or is_first else None
                if value is None:
                    continue
                if is_first:
                    first_names.append((first, last, value))
                if is_item:
                    items.setdefault(value, {})[token] = None
                if not is_name:
                    continue
                names.append((first, last, value))
                whole.setdefault(value, {})[token] = None
                if first > 1:
                    loud_in_string.add(token)
                    ending.setdefault(value, {})[token] = None
                    if head is not None and value.endswith(head):
                        ending_behind.setdefault(value[: len(value) - len(head)], {})[token] = None
            if any(a[1] < b[0] and a[2] == b[2] for a in names + first_names for b in names):
                twice.append(token)
        self._ending = {head: np.array(ids, np.int32) for head, ids in by_head.items()}
        self.whole = {value: tuple(ids) for value, ids in whole.items()}
        """Ids of tokens that hold a string between quotes which may be a name, by its value."""
        self.items = {value: TokenSet(ids) for value, ids in items.items()}
        """The same of strings that may be items of an array, but not its first."""
        self.ending = [(value, tuple(ids)) for value, ids in ending.items()]
        """Values and ids of tokens that may end a string and hold the value as another one."""
        self.ending_behind = {value: tuple(ids) for value, ids in ending_behind.items()}
        """Ids of tokens that, behind this beginning of a string, end it and hold the same string again."""
        self.twice = tuple(twice)
        """Ids of tokens that hold a name twice."""
        self.loud = TokenSet(itertools.chain(*whole.values()))
        """Tokens that hold a name. loud_in_string: those that can do so behind the end of a string."""
        self.loud_in_string = TokenSet(loud_in_string)

    def array_of(self, ids: tuple[int, ...]) -> Ids:
        """The ids as an array; kept, because frames ask again and again."""
        found = self._arrays.get(ids)
        if found is None:
            if len(self._arrays) >= MAX_KNOWN:
                self._arrays.clear()
            found = self._arrays[ids] = np.array(ids, np.int32)
        return found

    def _holding(self, marks: bytes) -> list[int]:
        """Ids of the tokens that hold one of the bytes, ascending."""
        is_mark = np.zeros(256, bool)
        is_mark[list(marks)] = True
        at = np.flatnonzero(is_mark[self.trie.data])
        owners = np.searchsorted(self.trie.starts, at, side="right") - 1
        ids: list[int] = np.unique(owners).tolist()
        return ids

    def child(self, node: int, byte: int) -> int:
        """The trie's node behind a byte, −1 if there is none."""
        trie = self.trie
        packed = trie.packed
        table = int(packed[node * NODE_SIZE + V_CHILDREN])
        if table:
            return int(packed[table + byte]) // NODE_SIZE or -1
        children = self._children.get(node)
        if children is None:
            children = {}
            child, end = node + 1, int(trie.end[node])
            while child < end:
                children[int(trie.info[child]) & 0xFF] = child
                child = int(trie.end[child])
            if len(self._children) >= MAX_KNOWN:
                self._children.clear()
            self._children[node] = children
        return children.get(byte, -1)

    def is_blank(self, node: int) -> bool:
        """Do the tokens at and below a node consist of blanks, as far as they stand behind it?"""
        trie = self.trie
        todo = [node]
        while todo:
            node = todo.pop()
            child, end = node + 1, int(trie.end[node])
            while child < end:
                if (int(trie.info[child]) & 0xFF) not in BLANKS:
                    return False
                todo.append(child)
                child = int(trie.end[child])
        return True

    def below(self, node: int) -> Ids:
        """The tokens at and below a node."""
        trie = self.trie
        end = int(trie.end[node])
        last = int(trie.first[end]) if end < trie.num_nodes else len(trie.token_ids)
        return trie.token_ids[int(trie.first[node]) : last]

    def _down(self, node: int, text: bytes) -> int:
        """The node behind some more bytes, −1 if there is none."""
        for byte in text:
            node = self.child(node, byte)
            if node < 0:
                break
        return node

    def beginnings(self, rest: bytes, tail: bytes, opener: bytes = b"") -> tuple[int, ...]:
        """The tokens with which some spelling of ``rest`` begins, behind ``opener``.

        tail: the first bytes of an escape that have been read already.
        """
        key = (opener, rest, tail)
        known = self._beginnings.get(key)
        if known is None:
            if len(self._beginnings) >= MAX_KNOWN:
                self._beginnings.clear()
            found: dict[int, None] = {}
            self._spelled(self._down(0, opener), rest, tail, found)
            known = self._beginnings[key] = tuple(found)
        return known

    def closing(self, strings: Sequence[bytes], value: bytes, tail: bytes) -> list[Ids]:
        """The tokens that end one of the strings.

        value: UTF-8 that they all begin with, and that has been read; tail: the first bytes of an escape that have been
        read behind it (``json_text.split``).
        """
        if tail:
            rests = [string[len(value) :] for string in strings if len(string) > len(value)]
            return [ids for rest in rests if (ids := self._closing(rest, tail)) is not None]
        ending = self._ending
        at = len(value)
        return [ending[string[at:]] for string in strings if string[at:] in ending]

    def _closing(self, rest: bytes, tail: bytes) -> Ids | None:
        """The tokens that begin with the rest of a spelling of ``rest`` and a quote; None if there are none."""
        key = (rest, tail)
        try:
            return self._known[key]
        except KeyError:
            pass
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        parts = [
            self.below(child) for node in self._spelled(0, rest, tail, {}) if (child := self.child(node, _QUOTE)) >= 0
        ]
        found = np.concatenate(parts) if parts else None
        self._known[key] = found
        return found

    def _spelled(self, node: int, rest: bytes, tail: bytes, passed: dict[int, None]) -> set[int]:
        """The nodes behind the spellings of ``rest``, from a node on; ``passed`` collects the tokens met on the way."""
        nodes = {node} - {-1}
        at = 0
        while at < len(rest) and 0x80 <= rest[at] < 0xC0:
            nodes = self._along(nodes, (rest[at : at + 1],), passed)
            at += 1
        for char in rest[at:].decode():
            ways = spellings(char)
            if tail:
                ways = tuple(way[len(tail) :] for way in ways if way.startswith(tail))
                tail = b""
            nodes = self._along(nodes, ways, passed)
            if not nodes:
                break
        return nodes

    def _along(self, nodes: Iterable[int], ways: Sequence[bytes], passed: dict[int, None]) -> set[int]:
        """The nodes behind any of the texts."""
        trie = self.trie
        out: set[int] = set()
        for node in nodes:
            escapes = self.child(node, _BACKSLASH) >= 0  # hardly any token holds an escape
            for way in ways:
                if way[:1] == b"\\" and not escapes:
                    continue
                here = node
                for byte in way:
                    here = self.child(here, byte)
                    if here < 0:
                        break
                    first = int(trie.first[here])
                    passed.update(dict.fromkeys(trie.token_ids[first : first + (int(trie.info[here]) >> 20)].tolist()))
                else:
                    out.add(here)
        return out


def _may_be_name(pieces: Sequence[bytes], first: int, last: int) -> bool:
    """May what stands between two quotes of a token be a name of an object that is open before the token?

    pieces: the token, split at its quotes. A comma stands before such a name, and a colon behind it.
    """
    before, behind = pieces[first - 1].rstrip(BLANKS), pieces[last].lstrip(BLANKS)
    begins = before.endswith(b",") or (first == 1 and not before)
    return begins and (behind.startswith(b":") or (not behind and last == len(pieces) - 1))


def _may_be_first_name(pieces: Sequence[bytes], first: int, last: int) -> bool:
    """The same of the first name of an object that a token opens, if it may hold another one: behind a colon."""
    return pieces[first - 1].rstrip(BLANKS).endswith(b"{") and pieces[last].lstrip(BLANKS).startswith(b":")


def _may_be_item(pieces: Sequence[bytes], first: int, last: int) -> bool:
    """The same of an item that is not its array's first."""
    before, behind = pieces[first - 1].rstrip(BLANKS), pieces[last].lstrip(BLANKS)
    begins = before.endswith(b",") or (first == 1 and not before)
    return begins and (behind[:1] in (b",", b"]") or (not behind and last == len(pieces) - 1))


def _head(token: bytes) -> bytes | None:
    """The value of what a token holds before the quote that ends a string, as UTF-8; None if it is none."""
    end = _HEAD.match(token)
    if end is None:
        return None
    raw = end[1]
    if b"\\" not in raw:
        return raw
    at = 0
    while 0x80 <= raw[at] < 0xC0:
        at += 1
    value = _value(raw[at:])
    return None if value is None else raw[:at] + value


def _value(raw: bytes) -> bytes | None:
    """The value of a string's spelling as UTF-8; None if it is none."""
    try:
        value = json.loads(b'"' + raw + b'"')
        return value.encode() if isinstance(value, str) else None
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def spellings(char: str) -> tuple[bytes, ...]:
    """The ways in which a character may stand in a JSON string (RFC 8259, section 7)."""
    found: list[bytes] = []
    if char >= " " and char not in '"\\':
        found.append(char.encode())
    if char in _SHORT:
        found.append(b"\\" + _SHORT[char].encode())
    units = char.encode("utf-16-be").hex()
    escape = "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))
    digits = ((c,) if c in "u\\" or not c.isalpha() else (c, c.upper()) for c in escape)
    found += ("".join(chosen).encode() for chosen in itertools.product(*digits))
    return tuple(found)
