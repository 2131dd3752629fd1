"""Training of the tiny model: cross-entropy at masked positions, weighted by one over the share that is masked.

Nie et al. 2025, "Large Language Diffusion Models" (LLaDA), equation 3 and the fine-tuning recipe of section 2.3:

    t ~ U(0, 1);  every answer position is masked with probability t, the prompt never
    loss = sum over masked positions of -log p(token | canvas) / t, per answer position

which bounds the negative log likelihood from above. Answers are filled up with stop tokens to the width of the canvas,
and these are predicted like all others: that is how the model says where its text ends. The t of a batch are spread
evenly over (0, 1) (Kingma et al. 2021, as in MDLM), which takes much of the noise out of the loss.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from grammar_engine.diffusion.tiny.data import Pair, pair
from grammar_engine.diffusion.tiny.network import TinyNetwork
from grammar_engine.errors import MissingDependencyError

SMALLEST_SHARE = 1e-2
"""Lowest t: below it a batch has next to nothing masked, and what it has weighs too much."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Numbers of a training run.

    steps: batches. rows: pairs of each. widths: of canvases, one drawn for each batch.
    rate: of Muon, for the matrices of the blocks. other_rate: of AdamW, for all other weights. Both are reached after
    ``warmup`` steps, and go down to zero in a line from there.
    """

    steps: int = 2_800
    rows: int = 24
    widths: tuple[int, ...] = (24, 24, 32, 32, 48, 64, 96)
    rate: float = 8e-3
    other_rate: float = 3e-3
    warmup: int = 30
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Rows of a prompt, filled at the left, and an answer, filled with stop tokens: (B, L), on the CPU.

    ids: int64, nothing masked. seen: False at the left filling. answer: True at positions that may be masked.
    """

    ids: Tensor
    seen: Tensor
    answer: Tensor


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a run stands: batches done, of how many, and the mean loss of late (nats per slot)."""

    step: int
    steps: int
    loss: float


def batch_of(pairs: list[Pair], tokenizer: Any, width: int) -> Batch:
    """Tokenize pairs into canvases of ``width`` slots; answers that are longer are cut, prompts are not."""
    prompts = [tokenizer(prompt)["input_ids"] for prompt, _ in pairs]
    answers = [tokenizer(text, add_special_tokens=False)["input_ids"][:width] for _, text in pairs]
    longest = max(map(len, prompts))
    ids = torch.full((len(pairs), longest + width), int(tokenizer.eos_token_id))
    seen = torch.ones_like(ids, dtype=torch.bool)
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        gap = longest - len(prompt)
        ids[row, :gap] = int(tokenizer.pad_token_id)
        seen[row, :gap] = False
        ids[row, gap:longest] = torch.tensor(prompt)
        ids[row, longest : longest + len(answer)] = torch.tensor(answer)
    answer = torch.zeros_like(seen)
    answer[:, longest:] = True
    return Batch(ids=ids, seen=seen, answer=answer)


def masked(batch: Batch, mask_id: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Mask a batch: the canvases, where they are masked (bool), and the share t of each row (B, 1)."""
    rows = len(batch.ids)
    spread = (torch.arange(rows) + torch.rand(1, generator=generator)) / rows
    share = SMALLEST_SHARE + (1 - SMALLEST_SHARE) * spread[torch.randperm(rows, generator=generator), None]
    hidden = (torch.rand(batch.ids.shape, generator=generator) < share) & batch.answer
    return batch.ids.masked_fill(hidden, mask_id), hidden, share


def loss_of(network: TinyNetwork, batch: Batch, mask_id: int, generator: torch.Generator) -> Tensor:
    """The bound on the negative log likelihood of a batch's answers, in nats per slot; one draw of its masks."""
    device = network.embedding.weight.device
    canvas, hidden, share = masked(batch, mask_id, generator)
    seen = None if bool(batch.seen.all()) else batch.seen.to(device)
    logits = network(canvas.to(device), seen)[hidden.to(device)]
    each = functional.cross_entropy(logits.float(), batch.ids[hidden].to(device), reduction="none")
    weight = (1 / share).expand_as(hidden)[hidden].to(device)
    return (each * weight).sum() / batch.answer.sum().item()


def fit(network: TinyNetwork, tokenizer: Any, recipe: Recipe, report: Callable[[Progress], None]) -> None:
    """Train a network in place. Data and masks follow the seed; the outcome also on the machine's arithmetic.

    Args:
        network: in training mode, float32, on any device; data are made on the CPU, the same for all.
        tokenizer: as ``tokenizer.load`` returns it.
        recipe: see there.
        report: called every 50 batches, and after the last.
    """
    rng = random.Random(recipe.seed)  # noqa: S311 - training data, no secret
    generator = torch.Generator().manual_seed(recipe.seed)
    mask_id = int(tokenizer.mask_token_id)
    optimizers = _optimizers(network, recipe)
    recent = 0.0
    for step, batch in enumerate(itertools.islice(_batches(rng, tokenizer, recipe), recipe.steps), start=1):
        rise, fall = step / recipe.warmup, 1 - step / recipe.steps
        for optimizer, peak in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = peak * min(1.0, rise, fall)
            optimizer.zero_grad()
        loss = loss_of(network, batch, mask_id, generator)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        for optimizer, _ in optimizers:
            optimizer.step()
        recent += (loss.item() - recent) * max(1 / step, 0.02)
        if step % 50 == 0 or step == recipe.steps:
            report(Progress(step=step, steps=recipe.steps, loss=recent))


def _optimizers(network: TinyNetwork, recipe: Recipe) -> list[tuple[torch.optim.Optimizer, float]]:
    """Muon (Jordan et al. 2024) for the blocks' matrices: half the batches of AdamW. AdamW elsewhere."""
    if not hasattr(torch.optim, "Muon"):
        raise MissingDependencyError("torch >= 2.9 (its optimizer Muon)", extra="hf")
    matrices = [weight for weight in network.blocks.parameters() if weight.ndim == 2]
    chosen = {id(weight) for weight in matrices}
    others = [weight for weight in network.parameters() if id(weight) not in chosen]
    muon = torch.optim.Muon(matrices, lr=recipe.rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
    adam = torch.optim.AdamW(others, lr=recipe.other_rate, betas=(0.9, 0.98), weight_decay=0.0)
    return [(muon, recipe.rate), (adam, recipe.other_rate)]


def _batches(rng: random.Random, tokenizer: Any, recipe: Recipe) -> Iterator[Batch]:
    """Batches without end. An answer that does not fit a canvas is drawn again: a cut one would teach not to end."""
    while True:
        width = rng.choice(recipe.widths)
        pairs: list[Pair] = []
        while len(pairs) < recipe.rows:
            found = pair(rng)
            if len(tokenizer(found[1], add_special_tokens=False)["input_ids"]) < width:
                pairs.append(found)
        yield batch_of(pairs, tokenizer, width)
