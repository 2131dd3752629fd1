"""llama-cpp-python: a logits processor, and the vocabulary of a loaded model. Importing this loads nothing of it.

    llm = llama_cpp.Llama("model.gguf")
    compiler = GrammarCompiler(vocabulary_of(llm))
    processor = GrammarLogitsProcessor(compiler.compile_json_schema(schema))
    llm.create_chat_completion(messages, logits_processor=LogitsProcessorList([processor]))

``Llama`` calls a processor with all ids so far, prompt included, and the scores of the next token. Under a draft model
the ids hold the drafts too, and the calls for one evaluation all show the same ids: which position a call is for is
known by counting, because each call yields exactly one token (0.3.36, ``Llama.generate``):

    first call       the ids are the prompt
    call number k    the text is what stands in the first k places behind it; what stands behind those are drafts
"""

from __future__ import annotations

import ctypes
import importlib
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from grammar_engine.bitmask import allocate_token_bitmask
from grammar_engine.errors import InvalidArgumentError, MissingDependencyError, TokenizerError
from grammar_engine.integrations.served_matcher import ServedMatcher

if TYPE_CHECKING:
    from grammar_engine.compiler.compiled import CompiledGrammar
    from grammar_engine.compiler.vocabulary import Vocabulary

_NO_TEXT = 1 | 2 | 8
"""Attributes of tokens that are no text: unknown, unused, control (``LLAMA_TOKEN_ATTR_…``)."""


class GrammarLogitsProcessor:
    """Lets one generation after the other follow a grammar; one at a time."""

    def __init__(self, compiled: CompiledGrammar, *, drafts: bool = False) -> None:
        """Constrain what is generated behind the prompt.

        Args:
            compiled: the grammar, for the model's vocabulary.
            drafts: the model was loaded with a ``draft_model``.

        Raises:
            InvalidArgumentError: the vocabulary has no stop token.
        """
        self._text = ServedMatcher(compiled)
        self._drafts = drafts
        self._bitmask = allocate_token_bitmask(1, compiled.vocabulary.size)
        self._shown: list[int] | None = None  # prompt and text at the last call
        self._prompt = 0

    def reset(self) -> None:
        """Forget the generation under way: the next call starts a new one."""
        self._shown = None

    def __call__(self, input_ids: npt.NDArray[np.intc], scores: npt.NDArray[np.single]) -> npt.NDArray[np.single]:
        """Mask scores.

        Args:
            input_ids: int32 ``(n,)``: prompt, text and drafts.
            scores: float32 ``(V,)``; not changed.

        Returns:
            A new array: −inf where a token is not allowed.

        Raises:
            InvalidArgumentError: the ids are longer than the text can be.
            GrammarEngineError: the grammar cannot go on here (see ``Matcher``).
        """
        ids = np.asarray(input_ids).tolist()
        if not self._continues(ids):
            self._text.reset()
            self._shown = ids
            self._prompt = len(ids)
        self._text.fill(self._bitmask, 0)
        if self._text.failure is not None:
            raise self._text.failure
        bits = np.unpackbits(self._bitmask.view(np.uint8)[0], bitorder="little")[: len(scores)].astype(bool)
        allowed = np.zeros(len(scores), bool)
        allowed[: len(bits)] = bits
        masked = np.where(allowed, scores, np.float32("-inf"))
        if not np.isfinite(masked).any():  # another processor has forbidden all that the grammar allows
            masked = np.where(allowed, np.float32(0), np.float32("-inf"))
        return masked.astype(np.single)

    def _continues(self, ids: list[int]) -> bool:
        """Append the newest token if the ids go on from the last call's. False if a new generation begins."""
        shown = self._shown
        if shown is None or len(ids) <= len(shown) or ids[: len(shown)] != shown or self._text.is_terminated():
            return False
        newest = ids[len(shown)]
        if not self._text.accept(newest):
            return False
        if len(ids) > len(shown) + 1 and self._text.is_terminated():  # nothing is evaluated behind a stop token
            return False
        if len(ids) > len(shown) + 1 and not self._drafts:
            self._text.rollback(1)
            raise InvalidArgumentError(
                f"{len(ids) - len(shown)} new ids after one token: with a draft model give drafts=True; between two "
                "generations, the second with the first one's text in its prompt, call reset()",
                argument="drafts",
            )
        self._shown = [*shown, newest]
        return True


def vocabulary_of(llm: Any) -> Vocabulary:
    """The vocabulary of a ``llama_cpp.Llama``: bytes of each token, and the tokens at which it ends a text.

    Raises:
        MissingDependencyError: llama-cpp-python is not installed.
        TokenizerError: the model has no vocabulary of its own.
    """
    from grammar_engine.compiler.vocabulary import Vocabulary

    try:
        api = importlib.import_module("llama_cpp")
    except ImportError as error:
        raise MissingDependencyError("llama_cpp", extra="llama-cpp") from error
    vocab = api.llama_model_get_vocab(llm.model)
    size = int(api.llama_vocab_n_tokens(vocab))
    if size < 1:
        raise TokenizerError("the model has no vocabulary of its own")
    tokens: list[bytes | None] = []
    stops: list[int] = []
    for token_id in range(size):
        if api.llama_vocab_is_eog(vocab, token_id):
            stops.append(token_id)
        text = not int(api.llama_vocab_get_attr(vocab, token_id)) & _NO_TEXT
        tokens.append(_piece(api, vocab, token_id) if text else None)
    special = [token_id for token_id, token in enumerate(tokens) if token is None]
    return Vocabulary(tokens, stop_token_ids=stops, special_token_ids=special)


def _piece(api: Any, vocab: Any, token_id: int, room: int = 64) -> bytes:
    """A token's bytes in the midst of a text."""
    buffer = ctypes.create_string_buffer(room)
    length = int(api.llama_token_to_piece(vocab, token_id, buffer, room, 0, False))
    return _piece(api, vocab, token_id, -length) if length < 0 else buffer.raw[:length]
