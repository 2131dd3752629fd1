"""SGLang's interface of a grammar backend, on this engine's matchers.

What SGLang does with a grammar (0.5.23):

    fill_vocab_mask, apply_vocab_mask, accept_token      plain decoding; it asks no more once ``finished`` or terminated
    accept_token, fill_vocab_mask, …, rollback(1)        drafts: depth first through a tree, a token back per node
    accept_token … until is_terminated                   what was verified; ValueError ends the request with an error
    try_jump_forward, jump_forward_str_state,            forced text, tokenized anew together with what stands before
        jump_and_retokenize                              (part of the interface; 0.5.23 itself does not call them)

Values are cached by their text; a request gets a ``copy()``, which starts at the empty text.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from sglang.srt.constrained.base_grammar_backend import (
    BaseGrammarBackend,
    BaseGrammarObject,
    GrammarStats,
    InvalidGrammarObject,
)

from grammar_engine.bitmask import Bitmask, apply_token_bitmask_inplace
from grammar_engine.errors import GrammarEngineError
from grammar_engine.integrations.compilers import shared_compilers
from grammar_engine.integrations.constraints import COMPACT, Kind, Layout, compile_constraint, refused
from grammar_engine.integrations.served_matcher import ServedMatcher

_LOG = logging.getLogger("sglang.grammar_engine")
_ANY_JSON = "$$ANY$$"
"""What SGLang asks for where any JSON value will do."""


class GrammarEngineGrammar(BaseGrammarObject):
    """One request's text."""

    def __init__(self, text: ServedMatcher, stats: GrammarStats | None = None) -> None:
        """text: at its start."""
        super().__init__()
        self._text = text
        self.grammar_stats = stats

    def accept_token(self, token: int) -> None:
        """Append a token. ValueError, and nothing changes, if it is not allowed.

        Behind the end nothing is appended, as SGLang's own backends have it: drafts are cut there.
        """
        if self._text.is_terminated():
            return
        if not self._text.accept(token):
            why = self._text.failure or "the grammar does not allow it here"
            raise ValueError(f"token {token} is refused: {why}")
        self.current_token = token

    def rollback(self, k: int) -> None:
        """Take back the last k tokens."""
        self._text.rollback(k)

    def is_terminated(self) -> bool:
        """Whether a stop token has been accepted."""
        return self._text.is_terminated()

    def allocate_vocab_mask(self, vocab_size: int, batch_size: int, device: Any) -> torch.Tensor:  # noqa: ARG002
        """int32 ``(batch_size, ceil(V/32))`` in host memory, all ones; pinned where there is a GPU to copy to."""
        return allocate_mask(self._text.compiled.vocabulary.size, batch_size)

    def fill_vocab_mask(self, vocab_mask: Bitmask, idx: int) -> None:
        """Row ``idx`` := what may come next."""
        self._text.fill(vocab_mask, idx)

    @staticmethod
    def reset_vocab_mask(vocab_mask: torch.Tensor) -> None:
        """All rows unconstrained."""
        vocab_mask.fill_(-1)

    @staticmethod
    def move_vocab_mask(vocab_mask: torch.Tensor, device: Any) -> torch.Tensor:
        """The mask on a device."""
        return vocab_mask.to(device, non_blocking=True)

    @staticmethod
    def apply_vocab_mask(logits: torch.Tensor, vocab_mask: torch.Tensor) -> None:
        """Logits of tokens that are not allowed := −inf, in place."""
        apply_token_bitmask_inplace(logits, vocab_mask)

    def copy(self) -> GrammarEngineGrammar:
        """The same grammar at the empty text."""
        return GrammarEngineGrammar(self._text.fork(), self.grammar_stats)

    def try_jump_forward(self, tokenizer: Any) -> tuple[list[int], str] | None:  # noqa: ARG002
        """The text that must follow, as far as it is whole characters; None if there is none."""
        forced = self._text.jump_forward_bytes()
        text = whole_characters(forced)
        return ([], text) if text else None

    def jump_forward_str_state(self, helper: tuple[list[int], str]) -> tuple[str, int]:
        """The forced text, and a state that nobody needs: positions are found again by their tokens."""
        return helper[1], -1

    def jump_and_retokenize(self, old_output_ids: list[int], new_output_ids: list[int], next_state: int) -> None:  # noqa: ARG002
        """Replace the tokens of the text. ValueError, and nothing changes, if the new ones are not allowed."""
        keep = 0
        for old, new in zip(old_output_ids, new_output_ids, strict=False):
            if old != new:
                break
            keep += 1
        self._text.rollback(len(old_output_ids) - keep)
        if not self._text.accept_all(new_output_ids[keep:]):
            self._text.accept_all(old_output_ids[keep:])
            raise ValueError(f"the text tokenized anew is refused: {old_output_ids} became {new_output_ids}")


class GrammarEngineBackend(BaseGrammarBackend):
    """Compiles requests for one model, on the threads of SGLang's executor."""

    def __init__(
        self, tokenizer: Any, vocab_size: int, eos_token_ids: Iterable[int] | None = None, layout: Layout | None = None
    ) -> None:
        """Read the tokenizer.

        Args:
            tokenizer: SGLang's.
            vocab_size: V of the model's logits.
            eos_token_ids: where SGLang ends a text; default: the vocabulary's stop tokens.
            layout: options of ``compile_json_schema``.

        Raises:
            TokenizerError: the tokenizer's tokens have no bytes.
        """
        super().__init__()
        self._compiler = shared_compilers().get(tokenizer, vocab_size)
        self._stops = _stops(tokenizer, eos_token_ids)
        self._layout = layout

    @property
    def is_support_token_filter(self) -> bool:
        """Strict thinking may forbid tokens in our masks."""
        return True

    @staticmethod
    def allocate_vocab_mask(vocab_size: int, batch_size: int, device: Any) -> torch.Tensor:  # noqa: ARG004
        """See ``GrammarEngineGrammar``."""
        return allocate_mask(vocab_size, batch_size)

    move_vocab_mask = staticmethod(GrammarEngineGrammar.move_vocab_mask)
    apply_vocab_mask = staticmethod(GrammarEngineGrammar.apply_vocab_mask)

    @staticmethod
    def set_token_filter(
        vocab_mask: torch.Tensor,
        token_ids: Sequence[int],
        batch_idx: int,
        is_allowed: bool = True,
        reset_vocab_mask: bool = True,
    ) -> None:
        """Allow or forbid tokens in a row; ``reset_vocab_mask``: and forbid or allow all others."""
        row = vocab_mask[batch_idx]
        if reset_vocab_mask:
            row.fill_(0 if is_allowed else -1)
        words = row.numpy().view(np.uint32)
        for token_id in token_ids:
            bit = np.uint32(1 << (token_id & 31))
            if is_allowed:
                words[token_id >> 5] |= bit
            else:
                words[token_id >> 5] &= ~bit

    def dispatch_json(self, key_string: str) -> BaseGrammarObject:
        """A JSON Schema's text, or "$$ANY$$"."""
        return self._compile("json", "true" if key_string == _ANY_JSON else key_string)

    def dispatch_regex(self, key_string: str) -> BaseGrammarObject:
        """A regular expression in Python's syntax."""
        return self._compile("regex", key_string)

    def dispatch_ebnf(self, key_string: str) -> BaseGrammarObject:
        """A grammar: EBNF, GBNF or Lark."""
        return self._compile("grammar", key_string)

    def dispatch_structural_tag(self, key_string: str) -> BaseGrammarObject:
        """A structural tag's JSON text."""
        return self._compile("structural_tag", key_string)

    def _compile(self, kind: Kind, spec: str) -> BaseGrammarObject:
        """The grammar, or SGLang's object for one that is refused, with our message."""
        try:
            compiled = compile_constraint(self._compiler, kind, spec, layout=self._layout)
            text = ServedMatcher(compiled, self._stops)
            text.fill(allocate_mask(compiled.vocabulary.size, 1), 0)
        except (GrammarEngineError, ValueError, TypeError) as error:
            return self._refuse(kind, refused(error))
        if text.failure is not None:
            return self._refuse(kind, str(text.failure))
        return GrammarEngineGrammar(text, GrammarStats(dispatch_type="ebnf" if kind == "grammar" else kind))

    def _refuse(self, kind: Kind, message: str) -> BaseGrammarObject:
        _LOG.warning("a request's %s is refused: %s", kind, message)
        return InvalidGrammarObject(message)


def allocate_mask(vocab_size: int, batch_size: int) -> torch.Tensor:
    """int32 ``(batch_size, ceil(vocab_size/32))`` in host memory, all ones."""
    pin = torch.cuda.is_available()
    return torch.full((batch_size, (vocab_size + 31) // 32), -1, dtype=torch.int32, pin_memory=pin)


def whole_characters(forced: bytes) -> str:
    """The longest prefix that is UTF-8."""
    try:
        return forced.decode()
    except UnicodeDecodeError as error:
        return forced[: error.start].decode()


def make_backend(server_args: Any, tokenizer: Any, vocab_size: int, eos_token_ids: Any) -> BaseGrammarBackend:
    """The backend for a server, free of reasoning where the server parses that apart.

    SGLang leaves this to registered backends: a grammar must not bind the text before the thinking ends.
    """
    serving = _serving(server_args)
    backend = GrammarEngineBackend(tokenizer, vocab_size, eos_token_ids, _layout(serving))
    if not getattr(serving, "reasoning_parser", None):
        return backend
    from sglang.srt.constrained.reasoner_grammar_backend import ReasonerGrammarBackend
    from sglang.srt.parser.reasoning_parser import ReasoningParser

    parser = ReasoningParser(model_type=serving.reasoning_parser, stream_reasoning=False, tokenizer=tokenizer)
    return ReasonerGrammarBackend(
        backend, parser, tokenizer, enable_strict_thinking=bool(getattr(serving, "enable_strict_thinking", False))
    )


def _serving(server_args: Any) -> Any:
    """Where this SGLang keeps a server's options."""
    try:
        from sglang.srt.runtime_context import get_serving
    except ImportError:
        return server_args
    return get_serving()


def _layout(serving: Any) -> Layout | None:
    if getattr(serving, "constrained_json_whitespace_pattern", None):
        raise ValueError(
            "grammar-engine does not support --constrained-json-whitespace-pattern; "
            "see --constrained-json-disable-any-whitespace"
        )
    if getattr(serving, "constrained_json_disable_any_whitespace", False):
        return COMPACT
    most = getattr(serving, "constrained_json_max_whitespace_cnt", None)
    return None if most is None else {"max_whitespace": most}


def _stops(tokenizer: Any, eos_token_ids: Iterable[int] | int | None) -> frozenset[int] | None:
    """Where SGLang ends a text: the model's end tokens, and the tokenizer's."""
    ids = {eos_token_ids} if isinstance(eos_token_ids, int) else set(eos_token_ids or ())
    own = getattr(tokenizer, "eos_token_id", None)
    if isinstance(own, int):
        ids.add(own)
    ids.update(getattr(tokenizer, "additional_stop_token_ids", None) or ())
    return frozenset(ids) or None
