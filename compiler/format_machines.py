"""The parts of formats that count: IPv6 addresses, host names, and the local times of leap seconds.

As patterns they are long (an IPv6 address takes nine cases, a label of 63 characters sixty-three optional ones); as
machines (``machine.py``) they are their own definitions. A machine reads one *letter* for each class of characters
that it does not tell apart; the classes stand beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from grammar_engine.compiler.char_automaton import CharAutomaton
from grammar_engine.compiler.char_states import ACCEPT, Edge
from grammar_engine.compiler.charset import CharSet
from grammar_engine.compiler.formats import MAX_HOSTNAME
from grammar_engine.compiler.length import limit_length
from grammar_engine.compiler.machine import Moves, Table, minimal_table

_MAX_LABEL = 63


def _automaton(table: Table, classes: Mapping[str, str]) -> CharAutomaton:
    """A machine's table as an automaton over characters, one edge for each state behind."""
    states: list[tuple[Edge, ...]] = []
    for row, accepting in zip(table.rows, table.accepting, strict=True):
        characters: dict[int, str] = {}
        for letter, target in row.items():
            characters[target] = characters.get(target, "") + classes.get(letter, letter)
        edges = [Edge(CharSet.from_chars(members), target) for target, members in characters.items()]
        states.append((*edges, ACCEPT) if accepting else tuple(edges))
    return CharAutomaton(tuple(states), deterministic=True)


def _table(table: Table | None) -> Table:
    assert table is not None, "no format is empty"
    return table


# -- IPv6 -------------------------------------------------------------------------------------------------------------


_HEX_CLASSES = {"3": "34", "6": "6789", "a": "abcdefABCDEF"}  # as the digits of an octet can tell them apart
_HEX = "012356a"


class _Address(NamedTuple):
    """``groups`` complete; ``elided``: ``::`` was read. ``last``: "" at the start, ":" or "::" behind one, "h" inside
    a group of ``digits`` hexadecimal digits, "." inside the IPv4 part, its ``octets`` complete. ``octet``: the decimal
    digits that are being read, where they can be an octet.
    """

    groups: int = 0
    elided: bool = False
    last: str = ""
    digits: int = 0
    octets: int = 0
    octet: str | None = None


def _next_octet(octet: str | None, digit: str) -> str | None:
    """The octet's digits with one more, each class by one member; None if they are not 0..255 in plain decimal."""
    if octet is None or octet == "0" or digit == "a":
        return None
    longer = octet + digit
    if int(longer) > 255:
        return None
    if len(longer) == 1:
        return longer if longer in "012" else "3"
    if len(longer) == 3:
        return "100"
    return "25" if longer == "25" else "19" if int(longer) < 25 else "26"


def _address_moves(state: _Address) -> Moves[_Address]:
    found: Moves[_Address] = []
    if state.last == ".":
        for digit in _HEX:
            if (octet := _next_octet(state.octet, digit)) is not None:
                found.append((digit, state._replace(octet=octet)))
        if state.octet and state.octets < 3:
            found.append((".", state._replace(octets=state.octets + 1, octet="")))
        return found
    room = 7 if state.elided else 8
    if state.last == "h":
        if state.digits < 4:
            for digit in _HEX:
                found.append((digit, state._replace(digits=state.digits + 1, octet=_next_octet(state.octet, digit))))
        if state.octet:
            found.append((".", _Address(last=".", octets=1, octet="")))
        if state.groups + 1 < room or not state.elided:
            found.append((":", _Address(groups=state.groups + 1, elided=state.elided, last=":")))
        return found
    if state.groups < room:
        rest = room - state.groups
        ipv4 = rest >= 2 if state.elided else rest == 2
        for digit in _HEX:
            octet = _next_octet("", digit) if ipv4 else None
            found.append((digit, state._replace(last="h", digits=1, octet=octet)))
    if state.last == "":
        found.append((":", _Address(last="first")))
    if not state.elided and state.last in (":", "first") and state.groups <= 7:
        found.append((":", _Address(groups=state.groups, elided=True, last="::")))
    return found if state.last != "first" else [move for move in found if move[0] == ":"]


def _address_ends(state: _Address) -> bool:
    if state.last == ".":
        return state.octets == 3 and bool(state.octet)
    if state.last == "h":
        return state.groups + 1 <= 7 if state.elided else state.groups + 1 == 8
    return state.last == "::"


@cache
def ipv6() -> CharAutomaton:
    """RFC 4291 §2.2: eight groups, the last two perhaps as IPv4, one run of them (perhaps one) as ``::``; no zone."""
    table = _table(minimal_table(_Address(), _address_moves, _address_ends, what="ipv6"))
    return _automaton(table, _HEX_CLASSES)


# -- host names -------------------------------------------------------------------------------------------------------


_LABEL_CLASSES = {"a": "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"}


class _Label(NamedTuple):
    """``length`` characters of a label; ``hyphen``: the last one is ``-``."""

    length: int = 0
    hyphen: bool = False


def _label_moves(state: _Label) -> Moves[_Label]:
    found: Moves[_Label] = []
    if state.length and not state.hyphen:
        found.append((".", _Label()))
    if state.length < _MAX_LABEL:
        found.append(("a", _Label(state.length + 1)))
        if state.length and state != (3, True):
            found.append(("-", _Label(state.length + 1, hyphen=True)))
    return found


@cache
def hostname() -> CharAutomaton:
    """RFC 1123 §2.1: labels of at most 63 characters, at most 253 in all (a counter), no two hyphens third and fourth.

    Labels with hyphens in those places are reserved (RFC 5890 §2.3.1) but for ``xn--``, and which of these are
    A-labels (RFC 5891 §4.4) is not for an automaton of sensible size to say: restricted, not wrong.
    """
    table = _table(
        minimal_table(_Label(), _label_moves, lambda state: bool(state.length) and not state.hyphen, what="hostname")
    )
    return limit_length(_automaton(table, _LABEL_CLASSES), MAX_HOSTNAME)


# -- leap seconds -----------------------------------------------------------------------------------------------------


def leap_seconds(*, signs: str, step: int, fraction: str) -> CharAutomaton:
    """The texts ``hh:mm:60`` + ``fraction`` + offset that are 23:59:60 UTC.

    ``signs``: of the offsets, "+" and "-". ``step``: the offsets are multiples of so many minutes. ``Z`` goes with
    "-", as do the offsets +00:00 and -00:00. ``fraction``: put where a second's fraction may stand, to be replaced.
    """
    texts: list[str] = []
    if "-" in signs:
        texts.extend(f"23:59:60{fraction}{zero}" for zero in ("Z", "z", "+00:00"))
    for offset in range(0, 24 * 60, step):
        for sign in signs:
            if sign == "+" and offset == 0:
                continue
            local = (23 * 60 + 59 + (offset if sign == "+" else -offset)) % (24 * 60)
            clock = f"{local // 60:02}:{local % 60:02}:60"
            texts.append(f"{clock}{fraction}{sign}{offset // 60:02}:{offset % 60:02}")
    return CharAutomaton.from_strings(texts)
