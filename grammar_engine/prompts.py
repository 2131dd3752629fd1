"""Prompts: text or chat messages, and the token ids that a model's tokenizer makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from grammar_engine.errors import InvalidArgumentError, LimitExceededError

Message = Mapping[str, Any]
Prompt = str | Sequence[Message]
"""One prompt: text, or chat messages ({"role": …, "content": …})."""


class PromptEncoder:
    """A tokenizer with its chat template and the room there is in a model's context.

    chat: whether string prompts go through the chat template.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        name: str,
        chat: bool | None = None,
        context_length: int | None = None,
        allow_empty: bool = False,
    ) -> None:
        """State how prompts are encoded.

        Args:
            tokenizer: a Hugging Face tokenizer, or None: then ``encode`` says so.
            name: the model's, for messages.
            chat: default: whether the tokenizer has a chat template.
            context_length: most tokens that the model can see, or None for no limit.
            allow_empty: whether an empty string may have no tokens. Otherwise it gets the start token, because a model
                that continues needs something to continue.

        Raises:
            InvalidArgumentError: ``chat`` without a template.
        """
        template = bool(getattr(tokenizer, "chat_template", None))
        if chat and not template:
            raise InvalidArgumentError("the tokenizer has no chat template", argument="chat")
        self.chat = template if chat is None else chat
        self._tokenizer = tokenizer
        self._name = name
        self._context_length = context_length
        self._allow_empty = allow_empty

    def encode(self, prompt: Prompt, tools: Sequence[Mapping[str, Any]] | None = None) -> list[int]:
        """Token ids of one prompt, chat template and generation prompt included. tools: shown by the chat template.

        Raises:
            InvalidArgumentError: an empty prompt, chat messages for a model without a chat template, no tokenizer.
            LimitExceededError: the prompt leaves no room in the model's context.
        """
        if self._tokenizer is None:
            raise InvalidArgumentError(
                f"model {self._name!r} has no tokenizer; give token ids where they are taken", argument="prompt"
            )
        if isinstance(prompt, str) and not self.chat:
            token_ids = [int(i) for i in self._tokenizer(prompt)["input_ids"]]
        else:
            messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
            token_ids = self._encode_chat(messages, tools)
        if not token_ids and not self._allow_empty:
            start = getattr(self._tokenizer, "bos_token_id", None)
            if start is None:
                raise InvalidArgumentError(
                    "the prompt is empty and the tokenizer has no start token", argument="prompt"
                )
            token_ids = [int(start)]
        if self._context_length is not None and len(token_ids) >= self._context_length:
            raise LimitExceededError(
                "the prompt fills the model's context, no token can follow",
                limit=f"context of {self._context_length} tokens",
                given=f"{len(token_ids)} prompt tokens",
            )
        return token_ids

    def _encode_chat(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None) -> list[int]:
        if not getattr(self._tokenizer, "chat_template", None):
            raise InvalidArgumentError(
                f"model {self._name!r} has no chat template; give the prompt as a string", argument="prompt"
            )
        for message in messages:
            if not isinstance(message, Mapping) or not {"role", "content"} <= message.keys():
                raise InvalidArgumentError(
                    f"a chat message is a dict with 'role' and 'content', not {message!r}", argument="prompt"
                )
        shown = {} if tools is None else {"tools": [dict(tool) for tool in tools]}
        encoded = self._tokenizer.apply_chat_template(
            [dict(message) for message in messages],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            **shown,
        )
        return [int(i) for i in encoded["input_ids"]]
