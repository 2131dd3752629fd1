"""Places in a schema, as linked lists of tokens: they are only read where something is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

Path = tuple["Path", object] | tuple[()]


def pointer_of(path: Path) -> str:
    """The JSON pointer of a path (kept as a linked list, because it is only read where something is wrong)."""
    tokens: list[str] = []
    while path:
        path, token = path
        tokens.append(str(token).replace("~", "~0").replace("/", "~1"))
    return "".join("/" + token for token in reversed(tokens))


def pointer_among(paths: Mapping[int, Path], schemas: AbstractSet[int]) -> str:
    """The pointer of the first of the schemas, given by identity, that has a path; "" if none has."""
    return pointer_of(next((path for schema, path in paths.items() if schema in schemas), ()))


def last(path: Path) -> str:
    """The last token of a path: a keyword, most often."""
    return str(path[1]) if path else ""
