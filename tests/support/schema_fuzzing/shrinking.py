"""A failing schema or value made small: parts are deleted as long as it still fails (greedily, to a fixed point)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any


def shrink(value: Any, fails: Callable[[Any], bool], *, attempts: int = 600) -> Any:
    """A smaller JSON value that still fails; ``fails`` is called at most ``attempts`` times."""
    left = attempts
    progress = True
    while progress and left > 0:
        progress = False
        for smaller in _smaller(value):
            left -= 1
            if fails(smaller):
                value = smaller
                progress = True
                break
            if left <= 0:
                break
    return value


def _smaller(value: Any) -> Iterator[Any]:
    """Copies with one part deleted or replaced by something simpler, the greatest cuts first."""
    for path in _paths(value):
        for replaced in _simpler(_at(value, path)):
            yield _with(value, path, replaced)


def _paths(value: Any) -> list[tuple[Any, ...]]:
    out: list[tuple[Any, ...]] = []
    todo: list[tuple[tuple[Any, ...], Any]] = [((), value)]
    for path, part in todo:
        out.append(path)
        if isinstance(part, dict):
            todo += [((*path, name), member) for name, member in part.items()]
        elif isinstance(part, list):
            todo += [((*path, index), member) for index, member in enumerate(part)]
    return out


def _simpler(part: Any) -> Iterator[Any]:
    if isinstance(part, dict):
        if part:
            yield True
            yield {}
        for name in part:
            yield {other: member for other, member in part.items() if other != name}
        yield from part.values()
    elif isinstance(part, list):
        for index in range(len(part)):
            yield part[:index] + part[index + 1 :]
        yield from part
    elif isinstance(part, str) and part:
        yield ""
        yield part[: len(part) // 2]
        if len(part) < 6:
            yield part[1:]
    elif isinstance(part, int | float) and not isinstance(part, bool) and part not in (0, 1):
        yield 0
        yield 1


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def _with(value: Any, path: tuple[Any, ...], part: Any) -> Any:
    if not path:
        return copy.deepcopy(part)
    out = copy.deepcopy(value)
    _at(out, path[:-1])[path[-1]] = copy.deepcopy(part)
    return out
