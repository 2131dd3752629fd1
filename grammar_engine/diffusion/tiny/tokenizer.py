"""The tiny model's tokenizer: byte-level byte-pair encoding of the training text, and four control tokens.

Every byte is a token, so every text has a tokenization; merges cross the borders of lexemes (``":``, ``"}``), as those
of large vocabularies do. A prompt is followed by <|sep|>, which the tokenizer appends by itself.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from grammar_engine.diffusion.tiny.data import pair

MASK, PAD, EOS, SEPARATOR = "<|mask|>", "<|pad|>", "<|eos|>", "<|sep|>"
SIZE = 512
"""Ids, control tokens included."""
_TEXTS = 20_000


def train(seed: int) -> Any:
    """A ``tokenizers.Tokenizer`` of ``SIZE`` ids from generated pairs; the same one for the same seed."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    rng = random.Random(seed)  # noqa: S311 - training data, no secret
    texts = [text for _ in range(_TEXTS) for text in pair(rng)]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=SIZE,
            special_tokens=[MASK, PAD, EOS, SEPARATOR],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {SEPARATOR}", special_tokens=[(SEPARATOR, tokenizer.token_to_id(SEPARATOR))]
    )
    return tokenizer


def load(path: Path) -> Any:
    """The tokenizer of a file, as a transformers tokenizer."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_file=str(path), mask_token=MASK, pad_token=PAD, eos_token=EOS, sep_token=SEPARATOR
    )
