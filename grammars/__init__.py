"""Grammars that come with the package, as Lark source."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType

_GLR: Mapping[str, str] = MappingProxyType({"parser": "glr"})
_OPTIONS: Mapping[str, Mapping[str, str]] = MappingProxyType({"go": _GLR})
"""Options of ``compile_lark`` with which a grammar is meant to be compiled, where they are not the defaults."""


def shipped_names() -> tuple[str, ...]:
    """The names of the shipped grammars, sorted."""
    entries = (entry.name for entry in files(__name__).iterdir())
    return tuple(sorted(name.removesuffix(".lark") for name in entries if name.endswith(".lark")))


def source(name: str) -> str:
    """The text of a shipped grammar; KeyError if there is none of that name."""
    if name not in shipped_names():
        raise KeyError(f"no shipped grammar {name!r}; there are {', '.join(shipped_names())}")
    return (files(__name__) / f"{name}.lark").read_text(encoding="utf-8")


def options(name: str) -> Mapping[str, str]:
    """The options of ``compile_lark`` with which a shipped grammar is meant to be compiled; empty for the defaults."""
    return _OPTIONS.get(name, {})
