"""Where an unfinished JSON text ends, as a pointer (RFC 6901) to the value that is being read."""

from __future__ import annotations

import json
import re

_PIECE = re.compile(r'[ \t\r\n]+|"(?:[^"\\]|\\.)*"?|[\[\]{},:]|[^ \t\r\n"\[\]{},:]+', re.DOTALL)


def pointer_at(text: str) -> str:
    """The pointer of the value in which ``text``, the beginning of a JSON text, ends; "the root" for the whole."""
    path: list[str | int | None] = []  # a name (None: not read yet) or an index per open object or array
    naming = False
    for piece in _PIECE.findall(text):
        if piece == "{":
            path.append(None)
            naming = True
        elif piece == "[":
            path.append(0)
        elif piece in "]}":
            if path:
                path.pop()
            naming = False
        elif piece == "," and path:
            last = path[-1]
            naming = not isinstance(last, int)
            path[-1] = last + 1 if isinstance(last, int) else None
        elif piece == ":":
            naming = False
        elif naming and piece.startswith('"'):
            path[-1] = _name(piece)
    steps = [str(step).replace("~", "~0").replace("/", "~1") for step in path if step is not None]
    return "/" + "/".join(steps) if steps else "the root"


def _name(literal: str) -> str:
    try:
        return str(json.loads(literal, strict=False))
    except ValueError:
        return literal[1:]
