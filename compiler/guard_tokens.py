"""What the guard of a grammar (``guard.py``) must know of a vocabulary: which tokens end a given string.

Answers are looked up in the sorted tokens, never by a scan: the tokens that begin with a given text are neighbours.
"""

from __future__ import annotations

import itertools
import json
import re
from bisect import bisect_left
from collections.abc import Sequence
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt
from grammar_engine.compiler.token_trie import TokenTrie

MAX_KNOWN = 8192
"""Answers kept per vocabulary; then all are forgotten."""

Bits = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.uint32]]
Ids = npt.NDArray[np.int32]

_QUOTE, _BRACKET = 0x22, 0x5B
_BLANKS = b" \t\r\n"
_LISTING = re.compile(rb"[,\[][ \t\r\n]*[^ \t\r\n]")
_HEAD = re.compile(rb'((?:[^"\\]|\\.)*)"', re.DOTALL)
_SHORT = {'"': '"', "\\": "\\", "/": "/", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}


class GuardTokens:
    """The tokens of one vocabulary by the quotes in them."""

    def __init__(self, tokens: Sequence[bytes | None], trie: TokenTrie) -> None:
        self.tokens = tokens
        self.trie = trie
        self._known: dict[tuple[bytes, bytes], Ids | None] = {}
        self._blank: dict[int, bool] = {}
        self._children: dict[int, dict[int, int]] = {}
        self._beginnings: dict[tuple[bytes, bytes], tuple[int, ...]] = {}
        self.has_quote = bytearray(len(tokens))
        self.with_quote = self._holding(_QUOTE)
        """Ids of tokens with a quote, ascending. ``has_quote``: per id, 0, 1 or 2 for two and more."""
        for token in self.with_quote:
            self.has_quote[token] = 1
        whole: dict[bytes, dict[int, None]] = {}
        ending: dict[bytes, dict[int, None]] = {}
        ending_behind: dict[bytes, dict[int, None]] = {}
        by_head: dict[bytes, list[int]] = {}
        twice: list[int] = []
        for token in self.with_quote:
            text = tokens[token] or b""
            head = _head(text)
            if head is not None:
                by_head.setdefault(head, []).append(token)
            pieces = text.split(b'"')
            if len(pieces) < 3:
                continue
            self.has_quote[token] = 2
            found = [
                (first, last, b'"'.join(pieces[first:last]))
                for first, last in itertools.combinations(range(1, len(pieces)), 2)
            ]
            values = [
                (first, last, value)
                for first, last, raw in found
                if _may_be_name(pieces, first, last) and (value := _value(raw)) is not None
            ]
            for first, _, value in values:
                whole.setdefault(value, {})[token] = None
                if first > 1:
                    ending.setdefault(value, {})[token] = None
                    if head is not None and value.endswith(head):
                        ending_behind.setdefault(value[: len(value) - len(head)], {})[token] = None
            if any(a[1] < b[0] and a[2] == b[2] for a in values for b in values):
                twice.append(token)
        self._ending = {head: np.array(ids, np.int32) for head, ids in by_head.items()}
        self.whole = {value: tuple(ids) for value, ids in whole.items()}
        """Ids of tokens that hold a string between quotes, by its value."""
        self.ending = [(value, tuple(ids)) for value, ids in ending.items()]
        """Values and ids of tokens that may end a string and hold the value as another one."""
        self.ending_behind = {value: np.array(list(ids), np.int32) for value, ids in ending_behind.items()}
        """Ids of tokens that, behind this beginning of a string, end it and hold the same string again."""
        self.twice = tuple(twice)
        self.twice_ids = np.array(twice, np.int32)
        self._arrays: dict[tuple[int, ...], npt.NDArray[np.int32]] = {}
        """Ids of tokens that hold a string twice."""
        self.several = tuple(token for token in self.with_quote if self.has_quote[token] > 1)
        """Ids of tokens with several quotes."""
        self.several_bits = bits_of(self.several)
        """The same, for ``set_of``."""
        self.has_bracket = bytearray(len(tokens))
        for token in self._holding(_BRACKET):
            self.has_bracket[token] = 1
        self.quoting = bits_of(self.with_quote)
        self.opening = bits_of([token for token in self.with_quote if not (tokens[token] or b"").endswith(b'"')])
        """Tokens with a quote that is not the last byte, for ``set_of``."""

    def array_of(self, ids: tuple[int, ...]) -> npt.NDArray[np.int32]:
        """The ids as an array; kept, because frames ask again and again."""
        found = self._arrays.get(ids)
        if found is None:
            if len(self._arrays) >= MAX_KNOWN:
                self._arrays.clear()
            found = self._arrays[ids] = np.array(ids, np.int32)
        return found

    def _holding(self, byte: int) -> list[int]:
        at = np.flatnonzero(self.trie.data == byte)
        owners = np.searchsorted(self.trie.starts, at, side="right") - 1
        ids: list[int] = np.unique(owners).tolist()
        return ids

    @cached_property
    def listing(self) -> Bits:
        """Tokens in which something follows a comma or opening bracket, for ``set_of``."""
        found = {*self._holding(0x2C), *self._holding(_BRACKET)}
        return bits_of(sorted(token for token in found if _LISTING.search(self.tokens[token] or b"")))

    def child(self, node: int, byte: int) -> int:
        """The trie's node behind a byte, −1 if there is none."""
        children = self._children.get(node)
        if children is None:
            trie = self.trie
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
        known = self._blank.get(node)
        if known is None:
            ids = self.trie.token_ids[int(self.trie.first[node]) : self.last(node)].tolist()
            known = self._blank[node] = not any((self.tokens[token] or b"").strip(b" \t\r\n") for token in ids)
        return known

    def last(self, node: int) -> int:
        """Where in ``trie.token_ids`` the tokens at and below a node end."""
        end = int(self.trie.end[node])
        return int(self.trie.first[end]) if end < self.trie.num_nodes else len(self.trie.token_ids)

    @cached_property
    def dividing(self) -> Bits:
        """Tokens with a comma, for ``set_of``."""
        return bits_of(self._holding(0x2C))

    @cached_property
    def _sorted(self) -> list[bytes]:
        return [self.tokens[token] or b"" for token in self.trie.token_ids.tolist()]

    def beginnings(self, rest: bytes, tail: bytes) -> tuple[int, ...]:
        """The tokens with which some spelling of ``rest`` begins; arguments as of ``closing``."""
        key = (rest, tail)
        known = self._beginnings.get(key)
        if known is None:
            if len(self._beginnings) >= MAX_KNOWN:
                self._beginnings.clear()
            found: dict[int, None] = {}
            self._spelled(rest, tail, found)
            known = self._beginnings[key] = tuple(found)
        return known

    def closing(self, rest: bytes, tail: bytes) -> Ids | None:
        """The tokens that begin with a spelling of ``rest`` and a quote; None if there are none.

        rest: UTF-8, from within a character perhaps. tail: the first bytes of an escape that have been read already.
        """
        if not tail:
            return self._ending.get(rest)
        key = (rest, tail)
        try:
            return self._known[key]
        except KeyError:
            pass
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        parts: list[Ids] = []
        for text in self._spelled(rest, tail):
            begin = text + b'"'
            first = bisect_left(self._sorted, begin)
            last = bisect_left(self._sorted, begin[:-1] + b"#", first)
            if last > first:
                parts.append(self.trie.token_ids[first:last])
        found = np.concatenate(parts) if parts else None
        self._known[key] = found
        return found

    def _spelled(self, rest: bytes, tail: bytes, passed: dict[int, None] | None = None) -> list[bytes]:
        """The spellings of ``rest`` that some token begins with; ``passed`` collects the tokens met on the way."""
        at = 0
        while at < len(rest) and 0x80 <= rest[at] < 0xC0:
            at += 1
        found = [rest[:at]]
        if passed is not None:
            for end in range(1, at + 1):
                self._pass(rest[:end], passed)
        for char in rest[at:].decode():
            ways = spellings(char)
            if tail:
                ways = tuple(way[len(tail) :] for way in ways if way.startswith(tail))
                tail = b""
            if passed is not None:
                for text in found:
                    for beginning in {way[:end] for way in ways for end in range(1, len(way) + 1)}:
                        self._pass(text + beginning, passed)
            escaped = [way for way in ways if way[:1] == b"\\" or not way]
            plain = [way for way in ways if way[:1] != b"\\"]
            longer: list[bytes] = []
            for text in found:
                longer += (text + way for way in plain if self._begins(text + way))
                if escaped and self._begins(text + b"\\"):  # hardly any token holds an escape
                    longer += (text + way for way in escaped if way and self._begins(text + way))
            found = longer
            if not found:
                break
        return found

    def _pass(self, text: bytes, passed: dict[int, None]) -> None:
        """Add the tokens that are exactly this text."""
        at = bisect_left(self._sorted, text)
        while at < len(self._sorted) and self._sorted[at] == text:
            passed[int(self.trie.token_ids[at])] = None
            at += 1

    def _begins(self, text: bytes) -> bool:
        at = bisect_left(self._sorted, text)
        return at < len(self._sorted) and self._sorted[at].startswith(text)


def bits_of(ids: Sequence[int]) -> Bits:
    """Token ids, the words of a mask that hold their bits, and the bits."""
    array = np.array(ids, np.int64)
    return array, array >> 5, np.uint32(1) << (array & 31).astype(np.uint32)


def set_of(row: npt.NDArray[np.uint32], bits: Bits) -> list[int]:
    """Those of the tokens that a mask allows."""
    ids, words, masks = bits
    found: list[int] = ids[row[words] & masks != 0].tolist()
    return found


def _may_be_name(pieces: Sequence[bytes], first: int, last: int) -> bool:
    """May what stands between two quotes of a token be a name of an object that is open before the token?

    pieces: the token, split at its quotes. A comma stands before such a name, and a colon behind it.
    """
    before, behind = pieces[first - 1].rstrip(_BLANKS), pieces[last].lstrip(_BLANKS)
    begins = before.endswith(b",") or (first == 1 and not before)
    return begins and (behind.startswith(b":") or (not behind and last == len(pieces) - 1))


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
