"""Special tokens that a structural tag names as tokens, and literal texts that may hold their names."""

from __future__ import annotations

from typing import TypeVar

from grammar_engine.compiler.errors import InvalidSchemaError, UnsupportedGrammarError
from grammar_engine.compiler.frontends.structural_tag.fields import Fields
from grammar_engine.compiler.frontends.structural_tag.formats import EMPTY, Format, Text
from grammar_engine.compiler.frontends.structural_tag.special_names import SpecialNames

T = TypeVar("T")


class NamedTokens:
    """Reads them."""

    def __init__(self, names: SpecialNames) -> None:
        self._names = names

    def of(self, fields: Fields) -> int:
        """The id that ``{"type": "token", "token": …}`` names."""
        fields.constant("type", "token")
        fields.only("type", "token")
        return self.special(fields["token"], fields.pointer + "/token")

    def special(self, token: object, pointer: str) -> int:
        """The id of a special token."""
        if isinstance(token, bool) or not isinstance(token, (int, str)):
            raise InvalidSchemaError("a token is an id or a name", pointer=pointer)
        found = self._names.token(token)
        if found is None:
            advice = "Tokens that are text are matched by their text: write it as a string instead."
            raise UnsupportedGrammarError(f"{token!r}, which is no special token,", place=pointer, advice=advice)
        return found

    def excluded(self, fields: Fields) -> None:
        """Special tokens are not in free text anyway; others cannot be excluded as tokens."""
        for i, token in enumerate(fields.array("exclude_tokens", default=())):
            self.special(token, f"{fields.pointer}/exclude_tokens/{i}")


def literal(names: SpecialNames, text: str) -> Format:
    """A constant text, in all its readings."""
    return Text(texts=names.texts(text)) if text else EMPTY


def distinct(*items: T) -> tuple[T, ...]:
    """Each of them once."""
    return tuple(dict.fromkeys(items))
