"""Compiled Lark grammars as plain values and arrays of ints: what the disk caches of grammars and engines keep.

Grammars are frozen dataclasses of plain values, so their fields tell how to write them. Rules and terminals, of which a
large grammar has thousands, are read one by one when they are asked for: an engine that comes from the disk asks for
few of them. Reading makes nothing but tuples, plain values, arrays and the classes listed here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from enum import Enum
from itertools import accumulate, pairwise
from typing import Any, TypeVar, overload

import numpy as np
import numpy.typing as npt
from grammar_engine.compiler.automaton import ByteAutomaton
from grammar_engine.compiler.charset import CharSet
from grammar_engine.compiler.frontends.lark_source import LarkGrammar
from grammar_engine.compiler.ir import Layout, Lexing, ParseTable, Production, Terminal

Int32Array = npt.NDArray[np.int32]
Item = TypeVar("Item")

SECTIONS = ("grammar", "terminals", "rules", "ints")

_CLASSES: dict[str, type[Any]] = {
    kind.__name__: kind for kind in (LarkGrammar, Terminal, ByteAutomaton, Layout, ParseTable)
}
_LISTED = ("terminals", "rules")


class _Listed(Sequence[Item]):
    """A sequence whose items are made when they are asked for."""

    def __init__(self, count: int, make: Callable[[int], Item]) -> None:
        self._make = make
        self._items: list[Item | None] = [None] * count

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | Sequence[Item]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        found = self._items[index]
        if found is None:
            found = self._items[index] = self._make(index % len(self))
        return found

    def __iter__(self) -> Iterator[Item]:
        return (self[index] for index in range(len(self)))


def encode(grammar: LarkGrammar) -> dict[str, Int32Array]:
    """A grammar as arrays, by the names in SECTIONS; TypeError if it holds what is not expected."""
    arrays: list[Int32Array] = []
    size = 0

    def data_of(value: Any) -> Any:
        nonlocal size
        if value is None or (isinstance(value, (bool, int, str)) and not isinstance(value, Enum)):
            return value
        if isinstance(value, (tuple, list)):
            return [data_of(part) for part in value]
        if isinstance(value, bytes):
            return {"bytes": value.hex()}
        if isinstance(value, CharSet):
            return {"charset": [list(part) for part in value.ranges]}
        if isinstance(value, Lexing):
            return {"lexing": value.value}
        if isinstance(value, np.ndarray) and value.dtype == np.int32:
            first, size = size, size + value.size
            arrays.append(value.ravel())
            return {"ints": first, "shape": list(value.shape)}
        name = type(value).__name__
        if _CLASSES.get(name) is not type(value):
            raise TypeError(f"{type(value).__name__} is not kept on disk")
        return {"class": name, "fields": [data_of(getattr(value, field.name)) for field in fields(value)]}

    terminals = [json.dumps(data_of(terminal)).encode() for terminal in grammar.terminals]
    plain = {
        field.name: data_of(getattr(grammar, field.name)) for field in fields(grammar) if field.name not in _LISTED
    }
    return {
        "grammar": _ints_of_text(json.dumps(plain).encode()),
        "terminals": np.concatenate(
            [_with_offsets([len(text) for text in terminals]), _ints_of_text(b"".join(terminals))]
        ),
        "rules": _rules(grammar.rules),
        "ints": np.concatenate([np.zeros(0, np.int32), *arrays]),
    }


def decode(sections: Mapping[str, Int32Array]) -> LarkGrammar:
    """The grammar again; KeyError, TypeError or ValueError if it is none."""
    ints = sections["ints"]

    def value_of(data: Any) -> Any:
        if isinstance(data, list):
            return tuple([value_of(part) if isinstance(part, (list, dict)) else part for part in data])
        if not isinstance(data, dict):
            return data
        if "ints" in data:
            first, shape = data["ints"], data["shape"]
            count = shape[0] if len(shape) == 1 else shape[0] * shape[1]
            return ints[first : first + count].reshape(shape)
        if "bytes" in data:
            return bytes.fromhex(data["bytes"])
        if "charset" in data:
            return CharSet.from_ranges([(low, high) for low, high in data["charset"]])
        if "lexing" in data:
            return Lexing(data["lexing"])
        kind = _CLASSES[data["class"]]
        names = [field.name for field in fields(kind)]
        return kind(**dict(zip(names, map(value_of, data["fields"]), strict=True)))

    at, texts = _without_offsets(sections["terminals"])
    written = texts.tobytes()

    def terminal(index: int) -> Terminal:
        found = value_of(json.loads(written[at[index] : at[index + 1]]))
        if not isinstance(found, Terminal):
            raise TypeError("not a terminal")
        return found

    begins, productions = _without_offsets(sections["rules"])
    bounds, symbols = _without_offsets(productions)

    def rule(index: int) -> tuple[Production, ...]:
        ends = bounds[begins[index] : begins[index + 1] + 1].tolist()
        flat = symbols[ends[0] : ends[-1]].tolist()
        return tuple(tuple(flat[low - ends[0] : high - ends[0]]) for low, high in pairwise(ends))

    plain = {name: value_of(data) for name, data in json.loads(sections["grammar"].tobytes()).items()}
    return LarkGrammar(terminals=_Listed(len(at) - 1, terminal), rules=_Listed(len(begins) - 1, rule), **plain)


def _rules(rules: Sequence[Sequence[Production]]) -> Int32Array:
    """Where the productions of each rule begin, where the symbols of each production do, and the symbols."""
    productions = [production for rule in rules for production in rule]
    symbols = np.array([symbol for production in productions for symbol in production], np.int32)
    begins = _with_offsets([len(rule) for rule in rules])
    return np.concatenate([begins, _with_offsets([len(production) for production in productions]), symbols])


def _with_offsets(lengths: Sequence[int]) -> Int32Array:
    """How many there are, and where each begins and the last ends."""
    return np.array([len(lengths), 0, *accumulate(lengths)], np.int32)


def _without_offsets(ints: Int32Array) -> tuple[Int32Array, Int32Array]:
    count = int(ints[0])
    return ints[1 : count + 2], ints[count + 2 :]


def _ints_of_text(text: bytes) -> Int32Array:
    return np.frombuffer(text + b" " * (-len(text) % 4), np.int32)
