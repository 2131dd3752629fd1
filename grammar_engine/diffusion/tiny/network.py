"""The tiny model's network: a transformer encoder that predicts all masked positions at once.

Pre-norm blocks of bidirectional attention with rotary positions (Su et al. 2021) and a GELU layer; the output shares
its matrix with the embedding. It is not told how many positions are masked: it can count them, and the best predictor
does not depend on the time otherwise (Ou et al. 2024, "Your absorbing discrete diffusion secretly models the
conditional distributions of clean data"; so does LLaDA).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from grammar_engine.errors import InvalidArgumentError


@dataclass(frozen=True, kw_only=True)
class NetworkShape:
    """Sizes of the network.

    vocabulary: ids. width: of the residual stream. layers, heads: blocks, and attention heads of each.
    context: most positions; the rotary table ends there.
    """

    vocabulary: int
    width: int = 128
    layers: int = 4
    heads: int = 4
    context: int = 512

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        if self.width % (2 * self.heads):
            raise InvalidArgumentError(f"{self.width} does not split into {self.heads} even heads", argument="width")


class TinyNetwork(nn.Module):
    """ids (B, L) → logits (B, L, V)."""

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.blocks = nn.ModuleList(_Block(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width)
        self.bias = nn.Parameter(torch.zeros(shape.vocabulary))
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.register_buffer("rotation", _rotation(shape), persistent=False)

    def forward(self, ids: Tensor, seen: Tensor | None = None) -> Tensor:
        """Logits of every position. seen: bool (B, L), False where nothing may be looked at; None: everything may."""
        hidden = self.embedding(ids)
        rotation = self.rotation[:, : ids.shape[1]]
        mask = None if seen is None else seen[:, None, None, :]
        for block in self.blocks:
            hidden = block(hidden, rotation, mask)
        return functional.linear(self.norm(hidden), self.embedding.weight, self.bias)


class _Block(nn.Module):
    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.attention_norm = nn.RMSNorm(shape.width)
        self.query_key_value = nn.Linear(shape.width, 3 * shape.width, bias=False)
        self.attention_out = nn.Linear(shape.width, shape.width, bias=False)
        self.mlp_norm = nn.RMSNorm(shape.width)
        self.mlp_in = nn.Linear(shape.width, 4 * shape.width, bias=False)
        self.mlp_out = nn.Linear(4 * shape.width, shape.width, bias=False)
        for layer in (self.query_key_value, self.mlp_in):
            nn.init.normal_(layer.weight, std=0.02)
        for layer in (self.attention_out, self.mlp_out):  # what is added to the stream grows with the depth otherwise
            nn.init.normal_(layer.weight, std=0.02 / (2 * shape.layers) ** 0.5)

    def forward(self, hidden: Tensor, rotation: Tensor, mask: Tensor | None) -> Tensor:
        rows, length, width = hidden.shape
        mixed = self.query_key_value(self.attention_norm(hidden))
        query, key, value = mixed.view(rows, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        looked_up = functional.scaled_dot_product_attention(
            _rotated(query, rotation), _rotated(key, rotation), value, attn_mask=mask
        )
        hidden = hidden + self.attention_out(looked_up.transpose(1, 2).reshape(rows, length, width))
        return hidden + self.mlp_out(functional.gelu(self.mlp_in(self.mlp_norm(hidden))))


def _rotation(shape: NetworkShape) -> Tensor:
    """Cosines and sines (2, context, half a head's width)."""
    half = shape.width // shape.heads // 2
    frequencies = 10_000.0 ** -(torch.arange(half, dtype=torch.float32) / half)
    angles = torch.arange(shape.context, dtype=torch.float32)[:, None] * frequencies
    return torch.stack((angles.cos(), angles.sin()))


def _rotated(vectors: Tensor, rotation: Tensor) -> Tensor:
    """Turn the pairs (i, i + half) of each vector (…, L, head) by its position's angles."""
    cosine, sine = rotation.to(vectors.dtype)
    first, second = vectors.chunk(2, dim=-1)
    return torch.cat((first * cosine - second * sine, first * sine + second * cosine), dim=-1)
