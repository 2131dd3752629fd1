"""One grammar compiler per vocabulary and process, however often a host asks for it.

Serving engines make their tokenizers and backends anew in places that know nothing of each other: the front end checks
a request, the engine compiles it. A tokenizer's vocabulary is read once; tokenizers with equal vocabularies (by
fingerprint, stop and special tokens) share a compiler, and with it compiled grammars and masks.
"""

from __future__ import annotations

import functools
import threading
import weakref
from typing import TYPE_CHECKING, Any

from grammar_engine.errors import TokenizerError

if TYPE_CHECKING:
    from grammar_engine.compiler.compiled import GrammarCompiler
    from grammar_engine.compiler.vocabulary import Vocabulary


class CompilerPool:
    """Compilers by tokenizer and by vocabulary. Shared by threads; holds no tokenizer alive."""

    def __init__(self) -> None:
        """Start empty."""
        self._lock = threading.Lock()
        self._by_tokenizer: weakref.WeakKeyDictionary[Any, dict[int | None, GrammarCompiler]]
        self._by_tokenizer = weakref.WeakKeyDictionary()
        self._by_vocabulary: weakref.WeakValueDictionary[Vocabulary, GrammarCompiler] = weakref.WeakValueDictionary()

    def get(self, tokenizer: Any, vocab_size: int | None = None) -> GrammarCompiler:
        """The compiler for a Hugging Face tokenizer and a model with ``vocab_size`` logits (default: the tokenizer's).

        Raises:
            TokenizerError: the tokenizer's tokens have no bytes, or it is not a Hugging Face tokenizer.
        """
        with self._lock:
            sizes = self._by_tokenizer.setdefault(tokenizer, {})
            found = sizes.get(vocab_size)
            if found is None:
                found = sizes[vocab_size] = self._make(tokenizer, vocab_size)
            return found

    def _make(self, tokenizer: Any, vocab_size: int | None) -> GrammarCompiler:
        from grammar_engine.compiler.compiled import GrammarCompiler
        from grammar_engine.compiler.vocabulary import Vocabulary

        try:
            vocabulary = Vocabulary.from_huggingface(tokenizer, vocab_size=vocab_size)
        except TokenizerError as error:
            raise TokenizerError(
                f"{error}. The engine's tokenizer must be a fast Hugging Face tokenizer (Mistral models: choose the "
                "engine's Hugging Face tokenizer mode)"
            ) from error
        found = self._by_vocabulary.get(vocabulary)
        if found is None:
            found = self._by_vocabulary[vocabulary] = GrammarCompiler(vocabulary)
        return found


@functools.cache
def shared_compilers() -> CompilerPool:
    """The process's compilers."""
    return CompilerPool()
