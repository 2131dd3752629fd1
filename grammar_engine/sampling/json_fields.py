"""The values of an unfinished JSON text that are complete already, by JSON pointer."""

from __future__ import annotations

import json
import re
from typing import Any

_BLANK = re.compile(r"[ \t\n\r]*")
_SCALAR = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s,:\[\]{}"]+')


def completed_values(text: str, *, complete: bool = False) -> dict[str, Any]:
    """Pointers and values, in the order in which they were completed; "" is the whole text.

    A number or word at the very end counts only if the text is complete. Reading stops where the text is not JSON.
    """
    found: dict[str, Any] = {}
    stack: list[tuple[str, Any]] = []  # pointer and container
    pointer, place = "", 0
    key: str | None = None  # of the member under way; None before it

    def put(value: Any) -> None:
        """A value stands at ``pointer``, inside of the innermost container."""
        if stack:
            container = stack[-1][1]
            if isinstance(container, list):
                container.append(value)
            else:
                container[key] = value

    while True:
        place = _BLANK.match(text, place).end()  # type: ignore[union-attr]  # matches everywhere
        if place == len(text):
            return found
        char = text[place]
        container = stack[-1][1] if stack else None
        if char in "}]":
            if not stack:
                return found
            pointer, value = stack.pop()
            found[pointer] = value
            place += 1
        elif char == ",":
            place += 1
            key = None
            if container is None:
                return found
        elif char == ":":
            place += 1
        else:
            in_object = isinstance(container, dict)
            if isinstance(container, list):
                pointer = f"{stack[-1][0]}/{len(container)}"
            elif in_object and key is not None:
                pointer = f"{stack[-1][0]}/{key.replace('~', '~0').replace('/', '~1')}"
            if char in "{[":
                value = {} if char == "{" else []
                put(value)
                stack.append((pointer, value))
                key = None
                place += 1
                continue
            scalar = _SCALAR.match(text, place)
            if scalar is None or (scalar.end() == len(text) and char != '"' and not complete):
                return found
            place = scalar.end()
            try:
                value = json.loads(scalar[0])
            except ValueError:
                return found
            if in_object and key is None:
                key = value
                continue
            put(value)
            found[pointer] = value
