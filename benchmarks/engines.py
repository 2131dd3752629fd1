"""Engines under one interface, each through the best that its public Python interface offers.

An adapter may raise anything from ``compile``: the harness counts it as a refusal and keeps the message. ``fill`` and
``accept`` are timed, so they do nothing but call the engine.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from common import Llama3


@dataclass(frozen=True, kw_only=True)
class Source:
    """A JSON Schema in both forms that engines read: Python data and JSON text."""

    data: Any
    text: str


def source(schema: Any) -> Source:
    """A schema with its text."""
    return Source(data=schema, text=json.dumps(schema, ensure_ascii=False))


class Engine(ABC):
    """One engine, ready for the Llama-3 vocabulary. ``bitmask``: int32 (1, ceil(V / 32)), what ``fill`` writes."""

    package: ClassVar[str]

    def __init__(self, tokenizer: Llama3) -> None:
        self.tokenizer = tokenizer
        self.bitmask = np.zeros((1, (tokenizer.size + 31) // 32), np.int32)

    @abstractmethod
    def compile(self, schema: Source) -> Any:
        """A compiled grammar."""

    def compile_gbnf(self, grammar: str) -> Any:
        """A compiled grammar from GBNF; NotImplementedError where the engine reads none."""
        raise NotImplementedError(f"{self.package} reads no GBNF")

    def compile_lark(self, grammar: str, **options: Any) -> Any:
        """A compiled grammar from the engine's own dialect of context-free grammars; ``options``: of our own engine."""
        raise NotImplementedError(f"{self.package} reads no context-free grammars")

    @abstractmethod
    def start(self, compiled: Any) -> Any:
        """A matcher at the start of a text."""

    @abstractmethod
    def fill(self, matcher: Any) -> None:
        """Write the mask of the matcher's position to ``bitmask``."""

    @abstractmethod
    def accept(self, matcher: Any, token_id: int) -> bool:
        """Advance by one token."""

    @abstractmethod
    def accepting(self, matcher: Any) -> bool:
        """Whether the text so far is complete (not timed)."""

    def allowed(self, token_id: int) -> bool:
        """Whether ``bitmask`` has the token's bit."""
        return bool(self.bitmask[0, token_id >> 5] >> (token_id & 31) & 1)


class GrammarEngine(Engine):
    package = "grammar-engine"

    def __init__(self, tokenizer: Llama3, cache_dir: str | None = None) -> None:
        super().__init__(tokenizer)
        import grammar_engine as ge

        self._matcher_type = ge.Matcher
        vocabulary = ge.Vocabulary(
            tokenizer.tokens(), stop_token_ids=tokenizer.stop, special_token_ids=list(tokenizer.special.values())
        )
        self._compiler = ge.GrammarCompiler(vocabulary, cache_dir=cache_dir)

    def compile(self, schema: Source) -> Any:
        return self._compiler.compile_json_schema(schema.data)

    def compile_gbnf(self, grammar: str) -> Any:
        return self._compiler.compile_gbnf(grammar)

    def compile_lark(self, grammar: str, **options: Any) -> Any:
        return self._compiler.compile_lark(grammar, **options)

    def save_cache(self) -> None:
        """Write the disk cache."""
        self._compiler.save_cache()

    def start(self, compiled: Any) -> Any:
        return self._matcher_type(compiled)

    def fill(self, matcher: Any) -> None:
        matcher.fill_next_token_bitmask(self.bitmask, 0)

    def accept(self, matcher: Any, token_id: int) -> bool:
        return bool(matcher.accept_token(token_id))

    def accepting(self, matcher: Any) -> bool:
        return bool(matcher.is_accepting())


class LLGuidance(Engine):
    package = "llguidance"

    def __init__(self, tokenizer: Llama3) -> None:
        super().__init__(tokenizer)
        from llguidance import LLMatcher
        from llguidance.numpy import fill_next_token_bitmask
        from llguidance.tiktoken import lltokenizer_from_encoding

        self._matcher_type = LLMatcher
        self._fill = fill_next_token_bitmask
        self._tokenizer = lltokenizer_from_encoding(
            tokenizer.encoding(), n_vocab=tokenizer.size, eos_token=tokenizer.special["<|eot_id|>"]
        )

    def compile(self, schema: Source) -> Any:
        return self._made(self._matcher_type.grammar_from_json_schema(schema.text))

    def compile_gbnf(self, grammar: str) -> Any:
        from llguidance.gbnf_to_lark import any_to_lark

        return self._made(self._matcher_type.grammar_from_lark(any_to_lark(grammar)))

    def compile_lark(self, grammar: str, **options: Any) -> Any:  # noqa: ARG002
        return self._made(self._matcher_type.grammar_from_lark(grammar))

    def _made(self, grammar: str) -> Any:
        matcher = self._matcher_type(self._tokenizer, grammar, log_level=0)
        if matcher.is_error():
            raise ValueError(matcher.get_error())
        return matcher

    def start(self, compiled: Any) -> Any:
        return compiled.deep_copy()

    def fill(self, matcher: Any) -> None:
        self._fill(matcher, self.bitmask, 0)

    def accept(self, matcher: Any, token_id: int) -> bool:
        return bool(matcher.consume_token(token_id))

    def accepting(self, matcher: Any) -> bool:
        return bool(matcher.is_accepting())


class XGrammar(Engine):
    package = "xgrammar"
    options: ClassVar[dict[str, Any]] = {"strict_mode": False}

    def __init__(self, tokenizer: Llama3) -> None:
        super().__init__(tokenizer)
        import xgrammar

        self._matcher_type = xgrammar.GrammarMatcher
        info = xgrammar.TokenizerInfo(
            tokenizer.tokens(),
            xgrammar.VocabType.RAW,
            vocab_size=tokenizer.size,
            stop_token_ids=tokenizer.stop,
        )
        # Its cache, on by default, shares mask work between grammars, not only between equal schemas.
        self._compiler = xgrammar.GrammarCompiler(info, max_threads=1, cache_enabled=True)

    def compile(self, schema: Source) -> Any:
        return self._compiler.compile_json_schema(schema.text, **self.options)

    def compile_gbnf(self, grammar: str) -> Any:
        return self._compiler.compile_grammar(grammar)

    def compile_lark(self, grammar: str, **options: Any) -> Any:  # noqa: ARG002
        return self._compiler.compile_grammar(grammar)

    def start(self, compiled: Any) -> Any:
        return self._matcher_type(compiled)

    def fill(self, matcher: Any) -> None:
        matcher.fill_next_token_bitmask(self.bitmask, 0)

    def accept(self, matcher: Any, token_id: int) -> bool:
        return bool(matcher.accept_token(token_id))

    def accepting(self, matcher: Any) -> bool:
        self.fill(matcher)
        return self.allowed(self.tokenizer.special["<|eot_id|>"])


class XGrammarStrict(XGrammar):
    options: ClassVar[dict[str, Any]] = {"strict_mode": True}


class OutlinesCore(Engine):
    package = "outlines_core"

    def __init__(self, tokenizer: Llama3) -> None:
        super().__init__(tokenizer)
        import outlines_core

        self._module = outlines_core
        self._vocabulary = outlines_core.Vocabulary(
            tokenizer.special["<|eot_id|>"], {token: [token_id] for token, token_id in tokenizer.ranks.items()}
        )
        self._address = (self.bitmask.ctypes.data, self.bitmask.size, self.bitmask.itemsize)

    def compile(self, schema: Source) -> Any:
        return self._module.Index(self._module.json_schema.build_regex_from_schema(schema.text), self._vocabulary)

    def start(self, compiled: Any) -> Any:
        return self._module.Guide(compiled)

    def fill(self, matcher: Any) -> None:
        matcher.write_mask_into(*self._address)

    def accept(self, matcher: Any, token_id: int) -> bool:
        try:
            matcher.advance(token_id, return_tokens=False)
        except ValueError:  # how a Guide says that it has no such transition
            return False
        return True

    def accepting(self, matcher: Any) -> bool:
        self.fill(matcher)
        return self.allowed(self.tokenizer.special["<|eot_id|>"])


ENGINES: dict[str, type[Engine]] = {
    "grammar_engine": GrammarEngine,
    "llguidance": LLGuidance,
    "xgrammar": XGrammar,
    "xgrammar_strict": XGrammarStrict,
    "outlines_core": OutlinesCore,
}
