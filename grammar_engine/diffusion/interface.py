"""What a decoding loop needs of a masked diffusion model, and nothing else of it.

    canvas    ids (B, L): a prompt, then slots that hold a token or ``mask_token_id``
    forward   logits (B, L, V): row i is the model's belief about what stands at position i, masked or not

A model is made ready for a loop by a subclass that states the special ids and implements ``network_logits``. Where a
network was made from an autoregressive one, its output at i may still speak of position i + 1 (``shift``); ``forward``
undoes that, so that no loop has to know of it.

Blocks: a loop that fills the canvas block by block calls ``begin_block`` when it comes to a new block, and
``forward_block`` for its steps. Both have defaults that compute everything anew. An adapter with a cache of keys and
values overrides them: what stands before ``start`` does not change until the next ``begin_block``.

No module of frameworks is imported here: tensors are torch's, but only those who make them need it.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from grammar_engine.errors import InvalidArgumentError, LimitExceededError, TokenizerError
from grammar_engine.prompts import Prompt, PromptEncoder

if TYPE_CHECKING:
    import torch

    from grammar_engine.compiler.compiled import GrammarCompiler
    from grammar_engine.compiler.vocabulary import Vocabulary


class DiffusionModel(abc.ABC):
    """A masked diffusion model: bidirectional, one forward pass predicts all positions at once.

    name:           how it was asked for.
    vocabulary:     as wide as the logits; ``mask_token_id`` has no text in it.
    mask_token_id:  stands in every open slot.
    stop_token_ids: ids that end a text, the vocabulary's (LLaDA's: end of text and end of turn).
    pad_token_id:   fills canvases behind a stop id, and the left of shorter prompts. Often a stop id itself.
    shift:          whether the network's own logits at i speak of position i + 1. ``forward`` has put that right.
    context_length: most positions of prompt and canvas together, or None where the model states no limit.
    tokenizer:      the Hugging Face tokenizer, or None: then ``encode`` cannot be used.
    compiler:       remembers compiled grammars, so that the second use of a schema costs nothing.
    chat:           whether string prompts are shown as the user's message of the chat template.
    """

    def __init__(
        self,
        compiler: GrammarCompiler,
        *,
        mask_token_id: int,
        pad_token_id: int | None = None,
        shift: bool = False,
        context_length: int | None = None,
        tokenizer: Any = None,
        chat: bool | None = None,
        name: str = "",
    ) -> None:
        """State what the loop needs to know.

        Args:
            compiler: of the model's vocabulary, which is as wide as its logits and has at least one stop id.
            mask_token_id, shift, context_length, tokenizer, name: see the class.
            pad_token_id: default: the first stop id, as most of these models were trained.
            chat: default: whether the tokenizer has a chat template.

        Raises:
            TokenizerError: ``mask_token_id`` or ``pad_token_id`` is outside of the vocabulary or an ordinary token of
                it, the mask is also the pad or a stop id, or there is no stop id.
            InvalidArgumentError: ``chat`` without a template.
        """
        vocabulary = compiler.vocabulary
        if not vocabulary.stop_token_ids:
            raise TokenizerError("the vocabulary has no stop id, but a canvas needs one to end a text that is shorter")
        pad = vocabulary.stop_token_ids[0] if pad_token_id is None else pad_token_id
        for what, token_id in (("mask", mask_token_id), ("pad", pad)):
            _require_control(vocabulary, what, token_id)
        if mask_token_id in vocabulary.stop_token_ids or mask_token_id == pad:
            raise TokenizerError(
                f"id {mask_token_id} cannot be the mask: it is also the pad or a stop id, and open slots would be full"
            )
        self.name = name or type(self).__name__
        self.compiler = compiler
        self.mask_token_id = mask_token_id
        self.pad_token_id = pad
        self.shift = shift
        self.context_length = context_length
        self.tokenizer = tokenizer
        self._prompts = PromptEncoder(
            tokenizer, name=self.name, chat=chat, context_length=context_length, allow_empty=True
        )
        self.chat = self._prompts.chat

    @property
    def vocabulary(self) -> Vocabulary:
        """Token id → bytes, as wide as the logits."""
        return self.compiler.vocabulary

    @property
    def stop_token_ids(self) -> tuple[int, ...]:
        """Ids that end a text, sorted."""
        return self.vocabulary.stop_token_ids

    @property
    @abc.abstractmethod
    def device(self) -> torch.device:
        """Where the network is, and where ``forward`` takes and leaves its tensors."""

    @abc.abstractmethod
    def network_logits(self, ids: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor:
        """One pass of the network as it is: no shift undone, logits at least as wide as the vocabulary.

        Args:
            ids: int64 (B, L), on ``device``.
            attention_mask: bool (B, L), False where nothing is to be seen (left padding), or None for none such.
        """

    def forward(self, ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        """The model's logits for every position of every canvas, without gradients.

        Args:
            ids: int64 (B, L) on ``device``: prompt and slots; ``mask_token_id`` where open. Shorter rows are filled at
                the left with ``pad_token_id``.
            attention_mask: bool or integer (B, L), zero at that filling; None if there is none.

        Returns:
            (B, L, V) floating point, the network's own type. Row i speaks of position i whatever ``shift`` says. Rows
            of the filling mean nothing.

        Raises:
            InvalidArgumentError: wrong shape or type, or a mask that hides more than the left of a row.
            TokenizerError: the network's logits are narrower than the vocabulary.
            LimitExceededError: no slots, or more positions than ``context_length``.
        """
        import torch

        seen = self._checked(ids, attention_mask)
        with torch.inference_mode():
            logits = self.network_logits(ids, seen)
            if logits.shape[-1] < self.vocabulary.size:
                raise TokenizerError(
                    f"the network's logits are {logits.shape[-1]} wide, the vocabulary has {self.vocabulary.size} ids"
                )
            logits = logits[..., : self.vocabulary.size]
            if self.shift:
                # Nothing speaks of position 0; models of this kind are trained with a token there that is never masked.
                logits = torch.cat((logits[:, :1], logits[:, :-1]), dim=1)
        return logits

    def begin_block(self, ids: torch.Tensor, start: int, stop: int, attention_mask: torch.Tensor | None = None) -> None:
        """Say that the next ``forward_block`` calls are about positions start … stop - 1 of these canvases.

        Until the next call of it, nothing before ``start`` changes; what stands behind ``stop`` may. By default nothing
        is prepared.
        """
        self._checked(ids, attention_mask)
        _require_block(ids, start, stop)

    def forward_block(
        self, ids: torch.Tensor, start: int, stop: int, attention_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """As ``forward``, but only the logits of positions start … stop - 1: (B, stop - start, V).

        An adapter with a cache may answer with what it computed at ``begin_block`` for positions outside of the block;
        this default does not.
        """
        _require_block(ids, start, stop)
        return self.forward(ids, attention_mask)[:, start:stop]

    def encode(self, prompt: Prompt, tools: Sequence[Mapping[str, Any]] | None = None) -> list[int]:
        """Token ids of one prompt, chat template included. An empty string has none, unless the model is a chat model.

        Raises:
            InvalidArgumentError: chat messages for a model without a chat template, or a model without a tokenizer.
            LimitExceededError: the prompt leaves no room in the model's context.
        """
        return self._prompts.encode(prompt, tools)

    def _checked(self, ids: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor | None:
        """The mask as bool, or None if it hides nothing."""
        import torch

        if ids.ndim != 2 or ids.dtype != torch.int64:
            raise InvalidArgumentError(
                f"expected int64 ids of shape (rows, positions), not {ids.dtype} of {tuple(ids.shape)}", argument="ids"
            )
        if 0 in ids.shape:
            raise LimitExceededError("there is nothing to fill", limit="at least one slot", given=tuple(ids.shape))
        if self.context_length is not None and ids.shape[1] > self.context_length:
            raise LimitExceededError(
                "prompt and canvas do not fit the model's context",
                limit=f"context of {self.context_length} tokens",
                given=f"{ids.shape[1]} positions",
            )
        if attention_mask is None:
            return None
        if attention_mask.shape != ids.shape:
            raise InvalidArgumentError(
                f"expected a mask of shape {tuple(ids.shape)}, not {tuple(attention_mask.shape)}",
                argument="attention_mask",
            )
        seen = attention_mask.to(torch.bool)
        if not bool((seen[:, 1:] >= seen[:, :-1]).all() & seen[:, -1].all()):
            raise InvalidArgumentError("only the left of a row can be hidden", argument="attention_mask")
        return None if bool(seen.all()) else seen

    def __repr__(self) -> str:
        """Name, width and context."""
        return (
            f"{type(self).__name__}({self.name!r}, vocabulary of {self.vocabulary.size}, "
            f"mask {self.mask_token_id}, context of {self.context_length})"
        )


def _require_block(ids: torch.Tensor, start: int, stop: int) -> None:
    if not 0 <= start < stop <= ids.shape[-1]:
        raise InvalidArgumentError(
            f"expected 0 <= start < stop <= {ids.shape[-1]}, not {start} and {stop}", argument="stop"
        )


def _require_control(vocabulary: Vocabulary, what: str, token_id: int) -> None:
    """The id must exist and have no text."""
    if isinstance(token_id, bool) or not isinstance(token_id, int) or not 0 <= token_id < vocabulary.size:
        raise TokenizerError(
            f"the {what} id is {token_id!r}, but the model's logits speak of the ids 0 to {vocabulary.size - 1}"
        )
    text = vocabulary[token_id]
    if text is not None:
        raise TokenizerError(
            f"the {what} id {token_id} is an ordinary token, the text {text!r}: a slot that holds it could not be told "
            f"from one that is {'open' if what == 'mask' else 'empty'}. Give the model's own {what} id"
        )
