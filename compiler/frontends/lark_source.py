"""Lark grammars before and after compilation. Nothing here imports Lark: what the disk cache has needs none of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from grammar_engine.compiler.errors import GrammarSyntaxError
from grammar_engine.compiler.ir import EagerGrammar

from grammar_engine import grammars


@dataclass(frozen=True, kw_only=True)
class LarkGrammar(EagerGrammar):
    """A Lark grammar, compiled.

    rule_names: per nonterminal (of the table, if there is one) the rule that it comes from; "" for one that
        normalization added.
    parser, lexer: the Lark modes that it follows.
    imported: path and SHA-256 of each file that it imports, without those that come with Lark.
    """

    rule_names: tuple[str, ...]
    parser: str
    lexer: str
    imported: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class LarkSource:
    """A grammar's text and path (None: it is in no file), and options of ``lark.Lark``."""

    text: str
    path: str | None
    start: str
    parser: str
    lexer: str
    postlex: object | None


def read_lark_source(
    source: str | os.PathLike[str],
    *,
    start: str = "start",
    parser: str = "auto",
    lexer: str = "auto",
    postlex: object | None = None,
) -> LarkSource:
    """A grammar given as Lark text, as the path of a .lark file, or by the name of a shipped grammar.

    A string is a path if it ends in ".lark" and has one line. Raises GrammarSyntaxError for what is none of them,
    OSError if the file cannot be read.
    """
    text, path, shipped = read_source(source)
    return LarkSource(
        text=text,
        path=path,
        start=start,
        parser=shipped.get("parser", "auto") if parser == "auto" else parser,
        lexer=lexer,
        postlex=shipped.get("postlex") if postlex is None else postlex,
    )


def read_source(source: str | os.PathLike[str]) -> tuple[str, str | None, Mapping[str, str]]:
    """The grammar's text, its path if it is a file, and the options that come with a shipped one."""
    if isinstance(source, str) and (":" in source or "\n" in source) and not is_lark_path(source):
        return source, None, {}
    if isinstance(source, str) and not is_lark_path(source):
        if source in grammars.shipped_names():
            return grammars.source(source), None, grammars.options(source)
        known = ", ".join(grammars.shipped_names())
        raise GrammarSyntaxError(f"neither a Lark grammar nor a shipped one ({known})", source=source)
    return Path(source).read_text(encoding="utf-8"), os.fspath(source), {}


def is_lark_path(source: str | os.PathLike[str]) -> bool:
    """Does it name a file?"""
    return not isinstance(source, str) or (source.endswith(".lark") and "\n" not in source)
