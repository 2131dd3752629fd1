"""Compiled grammars as JSON and one array of ints: what the disk cache of grammars keeps.

Grammars are frozen dataclasses of plain values, so their fields tell how to write them. Reading makes nothing but
tuples, plain values, arrays and the classes listed here.
"""

from __future__ import annotations

from dataclasses import fields
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt
from grammar_engine.compiler.automaton import ByteAutomaton
from grammar_engine.compiler.charset import CharSet
from grammar_engine.compiler.frontends.lark_source import LarkGrammar
from grammar_engine.compiler.ir import Layout, Lexing, ParseTable, Terminal

Int32Array = npt.NDArray[np.int32]

_CLASSES: dict[str, type[Any]] = {
    kind.__name__: kind for kind in (LarkGrammar, Terminal, ByteAutomaton, Layout, ParseTable)
}


def encode(grammar: LarkGrammar) -> tuple[Any, Int32Array]:
    """A grammar as JSON data and ints; TypeError if it holds what is not expected."""
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

    data = data_of(grammar)
    return data, np.concatenate([np.zeros(0, np.int32), *arrays])


def decode(data: Any, ints: Int32Array) -> LarkGrammar:
    """The grammar again; KeyError, TypeError or ValueError if it is none."""

    def value_of(data: Any) -> Any:
        if isinstance(data, list):
            return tuple([value_of(part) if isinstance(part, (list, dict)) else part for part in data])
        if not isinstance(data, dict):
            return data
        if "ints" in data:
            shape = tuple(data["shape"])
            return ints[data["ints"] : data["ints"] + int(np.prod(shape))].reshape(shape)
        if "bytes" in data:
            return bytes.fromhex(data["bytes"])
        if "charset" in data:
            return CharSet.from_ranges([(low, high) for low, high in data["charset"]])
        if "lexing" in data:
            return Lexing(data["lexing"])
        kind = _CLASSES[data["class"]]
        names = [field.name for field in fields(kind)]
        return kind(**dict(zip(names, map(value_of, data["fields"]), strict=True)))

    found = value_of(data)
    if not isinstance(found, LarkGrammar):
        raise TypeError("not a grammar")
    return found
