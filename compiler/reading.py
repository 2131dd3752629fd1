"""JSON data as a caller gives it: copied, and measured before anything recursive or exponential can happen to it.

``json`` recurses, so that a document nested some hundred deep ends in a RecursionError that depends on the caller's own
depth, and it writes a subschema that two places share twice: 30 levels of two are 2³⁰ copies. So a document is first
measured (iteratively, its containers only), and what is nested too deeply for ``json`` is read here.
"""

from __future__ import annotations

import json
import math
import re
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any

from grammar_engine.compiler.errors import InvalidSchemaError, LimitExceededError

MAX_NESTING = 5_000
"""Arrays and objects inside each other."""
MAX_CONTAINERS = 500_000
"""Arrays and objects of a document; one that several places share counts once for each."""
_SHALLOW = 200
"""Nesting that ``json`` copes with, however deep its caller is."""

_CONTAINERS = (dict, list, tuple)
_BLANK = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"(-?(?:0|[1-9]\d*))(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
_WORDS = (("null", None), ("true", True), ("false", False))
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|([\[{])|([\]}])', re.DOTALL)


def read_json(text: str, what: str = "the schema") -> Any:
    """The value of a JSON text, whose numbers must be finite. Raises InvalidSchemaError or LimitExceededError."""
    deep = _depth_of_text(text) > _SHALLOW if len(text) > _SHALLOW else False
    try:
        if deep:
            return _read(text)
        return json.loads(text, parse_float=_finite, parse_constant=_finite)
    except ValueError as error:
        raise InvalidSchemaError(f"{what} is not JSON: {error}") from error


def copy_json(data: object, what: str = "the schema") -> tuple[str | None, Any]:
    """Data of our own, and a text that is equal for equal data (None: too deep for one).

    Raises InvalidSchemaError for what is no JSON data, LimitExceededError.
    """
    if isinstance(data, str):
        return data, read_json(data, what)
    try:
        if measure(data, what) > _SHALLOW:
            return None, plain_copy(data)
        text = json.dumps(data, allow_nan=False)
        return text, json.loads(text, parse_float=_finite, parse_constant=_finite)
    except (TypeError, ValueError) as error:
        raise InvalidSchemaError(f"{what} is not JSON data: {error}") from error


def measure(data: object, what: str = "the schema") -> int:
    """How deep arrays and objects lie inside each other. Raises LimitExceededError for too deep, or too many."""
    depth = count = 0
    level: list[Any] = [data] if isinstance(data, _CONTAINERS) else []
    while level:
        depth += 1
        count += len(level)
        if depth > MAX_NESTING:
            if _holds_itself(data):
                raise InvalidSchemaError(f"{what} is not JSON data: it holds itself")
            raise LimitExceededError(f"{what} is nested too deeply", limit=f"{MAX_NESTING}", given="more")
        if count > MAX_CONTAINERS:
            raise LimitExceededError(f"{what} has too many objects and arrays", limit=f"{MAX_CONTAINERS}", given="more")
        below: list[Any] = []
        for one in level:
            members = one.values() if isinstance(one, dict) else one
            below += [member for member in members if isinstance(member, _CONTAINERS)]
        level = below
    return depth


def _holds_itself(data: object) -> bool:
    """Is a container inside itself?"""
    open_: set[int] = set()
    done: set[int] = set()
    todo: list[tuple[Any, bool]] = [(data, False)]
    while todo:
        one, leaving = todo.pop()
        if leaving:
            open_.discard(id(one))
            done.add(id(one))
        elif id(one) in open_:
            return True
        elif id(one) not in done:
            open_.add(id(one))
            todo.append((one, True))
            members = one.values() if isinstance(one, dict) else one
            todo += ((member, False) for member in members if isinstance(member, _CONTAINERS))
    return False


def _depth_of_text(text: str) -> int:
    """Depth of the brackets of a JSON text. Raises LimitExceededError where it is too deep."""
    if text.count("[") + text.count("{") <= _SHALLOW:
        return 0
    depth = deepest = 0
    for match in _BRACKETS.finditer(text):
        if match[1]:
            depth += 1
            deepest = max(deepest, depth)
            if depth > MAX_NESTING:
                raise LimitExceededError("the JSON text is nested too deeply", limit=f"{MAX_NESTING}", given="more")
        elif match[2]:
            depth -= 1
    return deepest


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a finite number")
    return value


def plain_copy(data: Any) -> Any:
    """What ``json.loads(json.dumps(data))`` makes of it, without recursion."""
    top: list[Any] = []
    todo: list[tuple[Any, Any, Any]] = [(data, top, None)]
    while todo:
        value, holder, name = todo.pop()
        if isinstance(value, dict):
            new: Any = {}
            if not all(isinstance(key, str) for key in value):
                raise TypeError("names of an object are strings")
            todo += [(member, new, key) for key, member in reversed(value.items())]
        elif isinstance(value, list | tuple):
            new = []
            todo += [(member, new, None) for member in reversed(value)]
        elif value is None or isinstance(value, str | bool | int):
            new = value
        elif isinstance(value, float):
            new = _finite(repr(value))
        else:
            raise TypeError(f"{type(value).__name__} is no JSON data")
        if isinstance(holder, dict):
            holder[name] = new
        else:
            holder.append(new)
    return top[0]


def _read(text: str) -> Any:
    """A JSON text (RFC 8259), without recursion. Raises ValueError with the offset of what is wrong."""
    stack: list[Any] = []
    names: list[str] = []
    at = _blank(text, 0)
    while True:
        char = text[at : at + 1]
        closed = False
        value: Any
        if char in ("{", "["):
            value = {} if char == "{" else []
            at = _blank(text, at + 1)
            closed = text[at : at + 1] == ("}" if char == "{" else "]")
            if closed:
                at += 1
            else:
                stack.append(value)
                if char == "{":
                    at = _name(text, at, names)
                continue
        else:
            value, at = _scalar(text, at)
        while True:  # a value has ended: where does it belong, and what follows?
            at = _blank(text, at)
            if not stack:
                if at < len(text):
                    raise ValueError(f"something follows the value at {at}")
                return value
            holder = stack[-1]
            if isinstance(holder, dict):
                holder[names.pop()] = value
            else:
                holder.append(value)
            char = text[at : at + 1]
            if char == ",":
                at = _blank(text, at + 1)
                if isinstance(holder, dict):
                    at = _name(text, at, names)
                break
            if char != ("}" if isinstance(holder, dict) else "]"):
                raise ValueError(f"a comma or the end of the container is missing at {at}")
            value = stack.pop()
            at += 1


def _blank(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    assert match is not None
    return match.end()


def _name(text: str, at: int, names: list[str]) -> int:
    """Read a name and its colon."""
    if text[at : at + 1] != '"':
        raise ValueError(f"a name is missing at {at}")
    name, at = scanstring(text, at + 1, True)
    at = _blank(text, at)
    if text[at : at + 1] != ":":
        raise ValueError(f"a colon is missing at {at}")
    names.append(name)
    return _blank(text, at + 1)


def _scalar(text: str, at: int) -> tuple[Any, int]:
    if text[at : at + 1] == '"':
        value, at = scanstring(text, at + 1, True)
        return value, at
    for word, constant in _WORDS:
        if text.startswith(word, at):
            return constant, at + len(word)
    match = _NUMBER.match(text, at)
    if match is None:
        raise ValueError(f"no value begins at {at}")
    if match[2] or match[3]:
        return _finite(match[0]), match.end()
    return int(match[1]), match.end()
