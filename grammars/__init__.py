"""Grammars that come with the package: .lark files, and a few in GBNF."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType

_GLR: Mapping[str, str] = MappingProxyType({"parser": "glr"})
_PYTHON: Mapping[str, str] = MappingProxyType({"parser": "lalr", "postlex": "python"})
_OPTIONS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "c": _GLR,
        "go": _GLR,
        "graphql": _GLR,
        "java": _GLR,
        "javascript": _GLR,
        "lark": _GLR,
        "lua": _GLR,
        "pddl": _GLR,
        "python": _PYTHON,
        "regex": _GLR,
        "sql": _GLR,
        "xml": _GLR,
    }
)
"""Options of ``compile_lark`` with which a grammar is meant to be compiled, where they are not the defaults."""


def shipped_names(suffix: str = ".lark") -> tuple[str, ...]:
    """The names of the shipped grammars of a kind, sorted; ``suffix``: ".lark" or ".gbnf"."""
    entries = (entry.name for entry in files(__name__).iterdir())
    return tuple(sorted(name.removesuffix(suffix) for name in entries if name.endswith(suffix)))


def source(name: str, suffix: str = ".lark") -> str:
    """The text of a shipped grammar; KeyError if there is none of that name and kind."""
    if name not in shipped_names(suffix):
        raise KeyError(f"no shipped grammar {name!r}; there are {', '.join(shipped_names(suffix))}")
    return (files(__name__) / f"{name}{suffix}").read_text(encoding="utf-8")


def options(name: str) -> Mapping[str, str]:
    """The options of ``compile_lark`` with which a shipped grammar is meant to be compiled; empty for the defaults."""
    return _OPTIONS.get(name, {})
