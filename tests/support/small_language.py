"""A vocabulary of four texts and languages over it that can be enumerated; ``table_model`` speaks it."""

from __future__ import annotations

from typing import Any

from table_model import TableModel

from grammar_engine import GrammarCompiler, Matcher, Vocabulary

TOKENS = [b"a", b"b", b"ab", b"c", None]
STOP = 4
MOST = 5  # tokens of a text, the stop token included
VOCABULARY = Vocabulary(TOKENS, stop_token_ids=[STOP])


def compile_regex(pattern: str) -> Any:
    """A regular language, compiled."""
    return GrammarCompiler(VOCABULARY, cache_dir="").compile_regex(pattern)


def text_of(tokens: tuple[int, ...]) -> str:
    return b"".join(TOKENS[token] or b"" for token in tokens).decode()


def masses(
    model: TableModel, compiled: Any, condition: Any = None, most: int = MOST, temperature: float = 1.0
) -> dict[tuple[int, ...], float]:
    """Tokens of the texts of the language that the condition accepts, and their mass, by enumeration."""

    def is_viable(tokens: tuple[int, ...]) -> bool:
        return Matcher(compiled).accept_bytes(text_of(tokens).encode())

    found = {}
    for tokens, mass in model.sequences(is_viable, most, temperature):
        matcher, text = Matcher(compiled), text_of(tokens)
        assert matcher.accept_bytes(text.encode())
        if matcher.is_accepting() and (condition is None or condition(text)):
            found[tokens] = mass
    return found


def no_double(text: str) -> bool:
    """A condition that no mask is asked for."""
    return "aa" not in text and "bb" not in text
