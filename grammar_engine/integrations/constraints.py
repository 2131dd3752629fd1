"""What a request to a serving engine asks for, compiled.

Every host names the same few kinds of constraint and hands each over as a string. A string from a request is never
taken for the path of a file, and a grammar may not import files: requests come from strangers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from grammar_engine.errors import (
    GrammarEngineError,
    InvalidArgumentError,
    InvalidSchemaError,
    UnsupportedGrammarError,
)

if TYPE_CHECKING:
    from grammar_engine.compiler.compiled import CompiledGrammar, GrammarCompiler

Kind = Literal["json", "json_object", "regex", "choice", "grammar", "structural_tag"]
KINDS: tuple[str, ...] = get_args(Kind)

Layout = Mapping[str, Any]
"""Options of ``compile_json_schema``."""

COMPACT: Layout = {"separators": (",", ":")}
"""JSON without any white space."""

_RELATIVE_IMPORT = re.compile(r"^[ \t]*%import[ \t]+\.", re.MULTILINE)


def compile_constraint(
    compiler: GrammarCompiler, kind: Kind, spec: str, *, layout: Layout | None = None
) -> CompiledGrammar:
    """The grammar that a request asks for.

    Args:
        compiler: of the model's vocabulary.
        kind: what ``spec`` is.
        spec: JSON text of a schema, of a list of strings ("choice") or of a structural tag; a regular expression; a
            Lark or GBNF/EBNF grammar, or the name of a shipped one; nothing for "json_object".
        layout: options of ``compile_json_schema``, for all that has schemas.

    Raises:
        GrammarEngineError: what the compiler raises, and InvalidSchemaError for a spec that is not JSON.
    """
    if kind == "json":
        return compiler.compile_json_schema(spec, **(layout or {}))
    if kind == "json_object":
        return compiler.compile_json_schema({"type": "object"}, **(layout or {}))
    if kind == "regex":
        return compiler.compile_regex(spec)
    if kind == "choice":
        return compiler.compile_choices(_choices(spec))
    if kind == "grammar":
        return compile_grammar_text(compiler, spec)
    return compiler.compile_structural_tag(spec, **(layout or {}))


def compile_grammar_text(compiler: GrammarCompiler, source: str, **options: Any) -> CompiledGrammar:
    """A Lark or GBNF grammar, told apart by its text, or a shipped one by its name; never a file.

    options: of ``compile_lark`` or ``compile_gbnf``, whichever it is.
    """
    from grammar_engine.compiler.frontends.gbnf.grammar import is_gbnf, is_gbnf_path
    from grammar_engine.compiler.frontends.lark_source import is_lark_path

    if is_gbnf_path(source) or is_lark_path(source):
        raise UnsupportedGrammarError(
            "the path of a grammar",
            place="in a request",
            advice="Send the grammar's text, or a shipped grammar's name.",
        )
    try:
        if is_gbnf(source):
            return compiler.compile_gbnf(source, **options)
        if _RELATIVE_IMPORT.search(source):
            raise UnsupportedGrammarError(
                "%import of a file", place="in a request", advice="Write its rules into the grammar."
            )
        return compiler.compile_lark(source, **options)
    except TypeError as error:
        raise InvalidArgumentError(str(error), argument="grammar") from error


def refused(error: Exception) -> str:
    """What to tell the client whose request was refused: our own words, or at least the kind of error."""
    return str(error) if isinstance(error, GrammarEngineError) else f"{type(error).__name__}: {error}"


def _choices(spec: str) -> list[str]:
    choices = _json(spec, "the list of choices")
    if not isinstance(choices, list) or not choices or not all(isinstance(choice, str) for choice in choices):
        raise InvalidSchemaError("choices are a list of one or more strings")
    return cast("list[str]", choices)


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidSchemaError(f"{what} is not JSON: {error}") from error
