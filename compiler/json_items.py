"""Arrays whose items must differ, read beside the engine.

Which arrays those are only the grammar knows: their opening bracket is a terminal of its own. When the first item
begins, the tops of the engine's stacks are the nodes behind the bracket, so each live parse says what it took the
bracket for. Where an item ends that has stood, the parses that stand on such a bracket die (``Parses.without``), and
the others, if there are any, go on: an array that another branch of ``anyOf`` allows may repeat what it likes.

The text of an item is kept from its first byte on; arrays inside share the text of the outermost one.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Hashable
from typing import Any, Protocol

from grammar_engine.compiler.json_text import (
    BEFORE_NAME,
    IN_NAME,
    IN_STRING,
    NAME_ESCAPE,
    OUTSIDE,
    Frame,
    Names,
    RepetitionError,
    State,
    split,
    text_of,
    with_name,
    with_prefix,
)
from grammar_engine.compiler.json_values import (
    NOTHING,
    Bytes,
    Number,
    alike,
    following_number,
    following_string,
    identity,
    value_of,
)

_STOP = re.compile(rb'["\\]')
_STRUCTURE = re.compile(rb'["{}\[\],]')
_STRUCTURE_OR_BLANK = re.compile(rb'["{}\[\], \t\r\n]')
_NO_BLANK = re.compile(rb"[^ \t\r\n]")
_BACKSLASH, _QUOTE, _COMMA, _OPEN_OBJECT, _OPEN_ARRAY, _CLOSE_ARRAY = b'\\",{[]'
_ENDS_NUMBER = b" \t\r\n,]"
_MAX_ALIKE = 1000
_TO_ESCAPE = NAME_ESCAPE - IN_NAME


class Parses(Protocol):
    """The engine's side: positions, and the live parses that stand behind them."""

    def advance(self, position: int, data: bytes) -> int:
        """The position behind bytes, 0 if there is none."""

    def brackets(self, position: int) -> tuple[frozenset[int], bool]:
        """Where an array's first item begins: the stack nodes behind brackets of distinct items; are there no other?"""

    def without(self, position: int, nodes: frozenset[int]) -> int:
        """The position less the parses that stand on one of the nodes, 0 if none is left."""


class Items:
    """An array of distinct items: where its parses stand, and the items that have ended.

    nodes: see ``Parses.brackets``. sure: no parse allows a repetition. begin: where the item at hand begins in the text
    of the outermost such array's item; −1 between items. strings: as UTF-8, sorted. seen: identities of all others.
    """

    __slots__ = ("_alike", "begin", "nodes", "numbers", "others", "seen", "strings", "sure")

    def __init__(
        self,
        nodes: frozenset[int],
        sure: bool,
        begin: int,
        strings: Names = (),
        numbers: tuple[Number, ...] = (),
        others: tuple[Any, ...] = (),
        seen: frozenset[Hashable] = frozenset(),
    ) -> None:
        self.nodes = nodes
        self.sure = sure
        self.begin = begin
        self.strings = strings
        self.numbers = numbers
        self.others = others
        self.seen = seen
        self._alike: dict[bytes, tuple[tuple[Any, ...], Bytes]] = {}  # what is known of beginnings of items

    def beginning(self, at: int) -> Items:
        """The same with an item that begins at ``at``."""
        return Items(self.nodes, self.sure, at, self.strings, self.numbers, self.others, self.seen)

    def with_item(self, text: bytes) -> Items | None:
        """The same with one more item; None if it has stood."""
        strings, numbers, others, seen = self.strings, self.numbers, self.others, self.seen
        if text[:1] == b'"':
            string = text_of(text[1:-1])
            at = bisect_left(strings, string)
            if at < len(strings) and strings[at] == string:
                return None
            strings = (*strings[:at], string, *strings[at:])
        else:
            value = value_of(text)
            name = identity(value)
            if name in seen:
                return None
            seen = seen | {name}
            if isinstance(value, Number):
                numbers += (value,)
            else:
                others += (value,)
        return Items(self.nodes, self.sure, -1, strings, numbers, others, seen)

    def following(self, text: bytes) -> Bytes:
        """The bytes that may come next if the item at hand is to be one that has stood. text: of the item so far."""
        text = text.lstrip(b" \t\r\n")
        first = text[:1]
        if first == b'"':
            value, _ = split(text[1:])
            return following_string(text[1:], with_prefix(self.strings, value))
        if first and first in b"-0123456789":
            return following_number(text.decode(), self.numbers)
        known = self._alike.get(text)
        if known is not None:
            return known[1]
        out: set[int] = set()
        if not first:
            if self.strings:
                out.update(b' \t\r\n"')
            if self.numbers:
                out |= alike(b"", self.numbers[:1])[1]
        # What a beginning cannot become, no longer one can.
        others, _ = self._alike.get(text[:-1], (self.others, NOTHING))
        left, found = alike(text, others)
        out |= found
        if len(self._alike) >= _MAX_ALIKE:
            self._alike.clear()
        result = frozenset(out)
        self._alike[text] = tuple(left), result
        return result


UNDECIDED = Items(frozenset(), False, -1)
"""Of an array before its first item."""


def following_bytes(state: State) -> Bytes:
    """The bytes that may come next if some item at hand is to be one that has stood; none: there is no such item."""
    frame: Frame | None = state[0]
    item = state[3]
    out = NOTHING
    while frame is not None and frame.within:
        items = frame.items
        if items is not None and items.begin >= 0:
            out |= items.following(item[items.begin :])
        frame = frame.parent
    return out


def read_items(
    state: State, data: bytes, before: int, after: int, parses: Parses, whole: dict[bytes, tuple[int, ...]]
) -> tuple[State, int]:
    """As ``json_text.read``, in any array; and the position behind ``data``.

    before: the position before ``data``; after: behind it, as long as no parse dies. What follows the end of the
    outermost object or array is not read.

    RepetitionError if a name or an item ends that has stood, and no parse allows that.
    """
    reader = _Reader(state, data, before, parses, whole)
    at = 0
    while at < len(data) and not reader.is_over:
        at = reader.in_string(at) if reader.mode >= IN_NAME else reader.outside(at)
    if reader.done or reader.pruned:
        reader.reach(len(data))
        after = reader.position
    return (reader.frame, reader.mode, reader.partial, reader.item), after


class _Reader:
    """``read_items`` under way: a state, and the position behind the first ``done`` bytes."""

    def __init__(
        self, state: State, data: bytes, before: int, parses: Parses, whole: dict[bytes, tuple[int, ...]]
    ) -> None:
        self.frame, self.mode, self.partial, self.item = state
        self.data = data
        self.position = before
        self.done = 0
        self.pruned = False
        self.is_over = False
        self.parses = parses
        self.whole = whole

    def in_string(self, at: int) -> int:
        """Read from byte ``at`` on, up to the next event in a name or a string; how far."""
        data, mode = self.data, self.mode
        if mode >= NAME_ESCAPE:
            end, self.mode = at + 1, mode - _TO_ESCAPE
        else:
            stop = _STOP.search(data, at)
            end = len(data) if stop is None else stop.end()
            if stop is not None:
                self.mode = mode + _TO_ESCAPE if data[end - 1] == _BACKSLASH else OUTSIDE
        if self.frame.within:
            self.item += data[at:end]
        if mode in (IN_NAME, NAME_ESCAPE):
            if self.mode == OUTSIDE:
                self.frame = with_name(self.frame, text_of(self.partial + data[at : end - 1]), self.whole)
                self.partial = b""
            else:
                self.partial += data[at:end]
        elif self.mode == OUTSIDE:
            self.end_value(end)
        return end

    def outside(self, at: int) -> int:
        """The same elsewhere."""
        data, frame = self.data, self.frame
        items = frame.items
        if items is UNDECIDED:
            first = _NO_BLANK.search(data, at)
            begin = len(data) if first is None else first.start()
            self.item += data[at:begin]
            if first is None:
                return begin
            at = begin
            if data[at] != _CLOSE_ARRAY:
                self.decide(at)
                frame = self.frame
                items = frame.items
        stop = (_STRUCTURE if items is None else _STRUCTURE_OR_BLANK).search(data, at)
        end = len(data) if stop is None else stop.end()
        byte = 0 if stop is None else data[end - 1]
        if items is not None and items.begin >= 0 and byte and byte in _ENDS_NUMBER:
            self.item += data[at : end - 1]
            if self.item[items.begin :].strip(b" \t\r\n"):
                self.end_value(end - 1)
                return end - 1  # (between items now: not here again)
            at = end - 1
        if frame.within:
            self.item += data[at:end]
        if not byte or byte in b" \t\r\n":
            return end
        if byte == _QUOTE:
            self.mode = IN_NAME if self.mode == BEFORE_NAME else IN_STRING
        elif byte == _COMMA:
            self.mode = OUTSIDE if frame.names is None else BEFORE_NAME
            if items is not None:
                if not _is_inner(frame):
                    self.item = b""
                self.frame = Frame(frame.parent, None, frame.tokens, items.beginning(len(self.item)))
        elif byte == _OPEN_OBJECT:
            self.frame, self.mode = Frame(frame, (), frame.tokens), BEFORE_NAME
        elif byte == _OPEN_ARRAY:
            self.frame, self.mode = Frame(frame, None, frame.tokens, UNDECIDED), OUTSIDE
        else:
            assert frame.parent is not None
            self.frame, self.mode = frame.parent, OUTSIDE
            self.is_over = self.frame.parent is None
            if not self.frame.within:
                self.item = b""
            self.end_value(end)
        return end

    def reach(self, at: int) -> None:
        """Move the position behind the first ``at`` bytes."""
        if at > self.done:
            self.position = self.parses.advance(self.position, self.data[self.done : at])
            self.done = at
            if not self.position:  # only a parse that has died could go on so
                raise RepetitionError

    def decide(self, at: int) -> None:
        """The first item of the innermost array begins at byte ``at``."""
        self.reach(at)
        nodes, sure = self.parses.brackets(self.position)
        frame = self.frame
        if not _is_inner(frame):
            self.item = b""
        items = Items(nodes, sure, len(self.item)) if nodes else None
        self.frame = Frame(frame.parent, None, frame.tokens, items)

    def end_value(self, at: int) -> None:
        """Before byte ``at`` a value has ended; is it an item of an array of distinct ones?"""
        frame = self.frame
        items = frame.items
        if items is None:
            return
        more = items.with_item(self.item[items.begin :].strip(b" \t\r\n"))
        if more is None:
            if items.sure:
                raise RepetitionError
            self.reach(at)
            self.pruned = True
            self.position = self.parses.without(self.position, items.nodes)
            if not self.position:
                raise RepetitionError
        self.frame = Frame(frame.parent, None, frame.tokens, more)
        if not _is_inner(frame):
            self.item = b""


def _is_inner(frame: Frame) -> bool:
    return frame.parent is not None and frame.parent.within
