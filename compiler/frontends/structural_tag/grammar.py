"""The front end as a whole: a structural tag → its grammar, and which special tokens take part in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from grammar_engine.compiler.errors import LimitExceededError
from grammar_engine.compiler.frontends.json_schema.options import JsonSchemaOptions
from grammar_engine.compiler.frontends.structural_tag.composing import StructuralTagGrammar
from grammar_engine.compiler.frontends.structural_tag.reading import Reader
from grammar_engine.compiler.frontends.structural_tag.separation import check_separation
from grammar_engine.compiler.frontends.structural_tag.special_names import SpecialNames

if TYPE_CHECKING:
    from grammar_engine.compiler.vocabulary import Vocabulary

MODES = ("tokens", "letters", "either")
"""What the name of a special token in a literal text means."""


class StructuralTag(NamedTuple):
    """A grammar, and the ids of the special tokens that it spells (``special_names.with_tokens``)."""

    grammar: StructuralTagGrammar
    tokens: tuple[int, ...]


def structural_tag_grammar(
    tag: object, vocabulary: Vocabulary, options: JsonSchemaOptions | None = None, *, special_tokens: str = "tokens"
) -> StructuralTag:
    """The grammar of a structural tag (JSON data); special_tokens: see ``special_names.SpecialNames``.

    Raises InvalidSchemaError (malformed, with a pointer into the tag), UnsupportedGrammarError (a format, a field or a
    combination that is not supported), UnsatisfiableGrammarError, LimitExceededError, and what the front ends of its
    parts raise, with a pointer into the tag.
    """
    if special_tokens not in MODES:
        raise ValueError(f"special_tokens is one of {', '.join(MODES)}, not {special_tokens!r}")
    ids = {*vocabulary.special_token_ids, *vocabulary.stop_token_ids}
    names = SpecialNames(vocabulary.special_tokens, ids, mode=special_tokens)
    try:
        formats = Reader(names, options or JsonSchemaOptions()).read(tag)
        grammar = StructuralTagGrammar(formats, guarded=check_separation(formats))
    except RecursionError as error:
        raise LimitExceededError(
            "the structural tag is nested too deeply", limit="Python's recursion limit", given="more"
        ) from error
    return StructuralTag(grammar, tuple(sorted(names.used)))
