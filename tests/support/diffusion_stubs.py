"""Networks with the interfaces of published diffusion models, small and untrained, and a tokenizer for them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers


def byte_tokenizer(*special: str, text: tuple[str, ...] = (), **roles: str) -> Any:
    """A transformers tokenizer: 256 bytes, then tokens of text, then control tokens, some with a role."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    raw = Tokenizer(models.BPE(vocab={piece: i for i, piece in enumerate(alphabet)}, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    raw.add_tokens(list(text))
    raw.add_special_tokens(list(special))
    return transformers.PreTrainedTokenizerFast(tokenizer_object=raw, **roles)


class MeanNetwork(torch.nn.Module):
    """Logits from a position's own token, the mean of all tokens, and the place in the row: bidirectional.

    Every position that is in ``input_ids`` is seen, as in networks that ignore attention masks.
    """

    def __init__(self, width: int, **config: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.config = SimpleNamespace(vocab_size=width, **config)
        self.embedding = torch.nn.Embedding(width, 8)
        self.head = torch.nn.Linear(8, width)
        self.asked: dict[str, Any] = {}

    def logits(self, ids: torch.Tensor, seen: torch.Tensor | None = None) -> torch.Tensor:
        found = self.embedding(ids)
        weight = torch.ones_like(found[..., :1]) if seen is None else seen[..., None].to(found.dtype)
        mean = (found * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True)
        place = weight.cumsum(1) * 0.1
        logits: torch.Tensor = self.head(found + mean + place)
        return logits


class LladaStub(MeanNetwork):
    """As LLaDA's published code: takes an attention mask and does nothing with it."""

    def __init__(self, width: int, **config: Any) -> None:
        super().__init__(width, model_type="llada", architectures=["LLaDAModelLM"], **config)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> Any:  # noqa: ARG002
        return SimpleNamespace(logits=self.logits(input_ids))


class DreamStub(MeanNetwork):
    """As Dream's: "full" or a mask of pairs (B, 1, L, L), positions beside it, and output at i that is of i + 1."""

    def __init__(self, width: int, **config: Any) -> None:
        super().__init__(width, model_type="Dream", architectures=["DreamModel"], **config)

    def forward(self, input_ids: torch.Tensor, attention_mask: Any = None, position_ids: Any = None) -> Any:
        self.asked = {"attention_mask": attention_mask, "position_ids": position_ids}
        if isinstance(attention_mask, str):
            assert attention_mask == "full"
            assert position_ids is None
            seen = None
        else:
            assert attention_mask.shape == (len(input_ids), 1, input_ids.shape[1], input_ids.shape[1])
            assert attention_mask.dtype == torch.bool
            seen = attention_mask[:, 0, -1]
        return SimpleNamespace(logits=self.logits(input_ids, seen).roll(-1, dims=1))


class MdlmStub(MeanNetwork):
    """As MDLM's and BD3-LM's: asks for times, takes no mask, and may return the tensor alone."""

    def __init__(self, width: int, family: str = "mdlm", **config: Any) -> None:
        super().__init__(width, model_type=family, architectures=[family.upper()], model_length=64, **config)

    def forward(self, input_ids: torch.Tensor, timesteps: torch.Tensor, sample_mode: bool = False) -> Any:
        self.asked = {"timesteps": timesteps, "sample_mode": sample_mode}
        assert timesteps.shape == (len(input_ids),)
        return self.logits(input_ids)
