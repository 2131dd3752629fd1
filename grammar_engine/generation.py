"""What a generation returns: the value, how it was reached, what it cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from grammar_engine.sampling.population import Population

T = TypeVar("T")

STOP = "stop"
LENGTH = "length"


@dataclass(frozen=True, kw_only=True)
class Stats:
    """Counts and times of one call; a batch shares its times, each row counts its own tokens.

    prompt_tokens:     tokens of the prompt, template included.
    tokens:            tokens generated, a final stop token included.
    seconds:           wall time of the decoding loop, prompt included.
    prefill_seconds:   the part of it until the first logits were there.
    mask_seconds:      time spent in the grammar: accepting tokens, filling masks, applying them, looking for short
                       completions. Most of it runs beside the model's forward pass.
    mask_wait_seconds: the part of it during which the loop had nothing else to do.
    passes:            forward passes of the model, the prompt's included; a batch shares them.
    drafted_tokens:    tokens guessed from the grammar and shown to the model ahead of time.
    confirmed_tokens:  those of them that the model chose: they cost no pass of their own.
    """

    prompt_tokens: int
    tokens: int
    seconds: float
    prefill_seconds: float
    mask_seconds: float
    mask_wait_seconds: float
    passes: int = 0
    drafted_tokens: int = 0
    confirmed_tokens: int = 0

    @property
    def tokens_per_second(self) -> float:
        """Generated tokens per second after the prompt was read."""
        return self.tokens / max(self.seconds - self.prefill_seconds, 1e-9)

    @property
    def mask_share(self) -> float:
        """Time in the grammar as a share of the wall time, 0 to 1, even where it was hidden behind the model."""
        return self.mask_seconds / max(self.seconds, 1e-9)


@dataclass(frozen=True, kw_only=True)
class Generation(Generic[T]):
    """One finished text and its value.

    value:         what ``generate`` returns without ``details``.
    text:          the generated text, complete in the language.
    token_ids:     its tokens, without the stop token.
    logprob:       Σ log p(token) under the model's own distribution (temperature 1, no mask), stop token included if
                   the model was asked for it.
    log_weight:    Σ log Z, where Z is the mass that the model itself gave to the tokens that were allowed. With
                   ``Sample()`` (temperature 1, nothing cut) exp(log_weight) makes the sample properly weighted;
                   a penalty on repetition is taken back in it (by an unbiased estimate). Of a diffusion model's
                   text ``nan``, and ``logprob`` is Σ log p of its tokens, each in the pass that it was chosen in.
    finish_reason: "stop": the model ended the text, or nothing but its end was possible;
                   "length": the budget ended, at a place where the text is complete.
    population:    of a sampler of whole texts: all of them, with evidence and history. ``log_weight`` is then the
                   particle's own, and a proper weight by itself for ``AWRS`` alone; else use ``population``.
    """

    value: T
    text: str
    token_ids: tuple[int, ...]
    logprob: float
    log_weight: float
    finish_reason: str
    stats: Stats
    population: Population | None = None


@dataclass(frozen=True, kw_only=True)
class TokenEvent:
    """A token just chosen. ``text`` is what it adds to the shown text: empty while a character is still incomplete."""

    row: int
    token_id: int
    text: str
