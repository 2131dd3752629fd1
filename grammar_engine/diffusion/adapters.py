"""Published networks as ``DiffusionModel``: how each one is called, and what it does about shorter prompts.

Rows whose prompts are shorter are filled at the left. Not all networks can be told: LLaDA's published code takes an
attention mask and does not use it (ML-GSAI/LLaDA, issues 89 and 90), MDLM's takes none, and learnt absolute positions
would be off even where it is used. So, unless a family does better, rows of one length at a time pass the network, cut
to what is there. That is exact, and as many passes as there are lengths. Dream's masks and positions are its own.

None of these keeps keys and values: ``begin_block`` and ``forward_block`` are there to be overridden where a network's
code offers a cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from grammar_engine.diffusion.families import Family
from grammar_engine.diffusion.interface import DiffusionModel
from grammar_engine.errors import InvalidArgumentError

if TYPE_CHECKING:
    import torch

    from grammar_engine.compiler.compiled import GrammarCompiler


class HuggingFaceDiffusionModel(DiffusionModel):
    """A network of transformers that maps ids to logits; the ``DiffusionModel`` of LLaDA and of masked LMs.

    network: the Hugging Face model, in evaluation mode. family: what it was recognised as.
    """

    def __init__(
        self,
        network: Any,
        compiler: GrammarCompiler,
        family: Family,
        *,
        mask_token_id: int,
        pad_token_id: int | None,
        shift: bool,
        context_length: int | None,
        tokenizer: Any,
        chat: bool | None,
        name: str,
    ) -> None:
        super().__init__(
            compiler,
            mask_token_id=mask_token_id,
            pad_token_id=pad_token_id,
            shift=shift,
            context_length=context_length,
            tokenizer=tokenizer,
            chat=chat,
            name=name,
        )
        self.network = network.eval()
        self.family = family

    @property
    def device(self) -> torch.device:
        """Where the network's weights are."""
        found: torch.device = next(self.network.parameters()).device
        return found

    def network_logits(self, ids: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor:
        """See ``DiffusionModel``; rows of different lengths pass the network one length at a time."""
        if attention_mask is None:
            return self._pass(ids)
        return by_length(self._pass, ids, attention_mask)

    def _pass(self, ids: torch.Tensor) -> torch.Tensor:
        return _logits(self.network(input_ids=ids))


class DreamDiffusionModel(HuggingFaceDiffusionModel):
    """Dream and DiffuCoder: a mask of pairs (B, 1, L, L) and positions that count from the first token seen."""

    def network_logits(self, ids: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor:
        """See ``DiffusionModel``."""
        if attention_mask is None:
            return _logits(self.network(input_ids=ids, attention_mask="full", position_ids=None))
        positions = attention_mask.long().cumsum(-1) - 1
        pairs = attention_mask[:, None, None, :] & attention_mask[:, None, :, None]
        return _logits(
            self.network(input_ids=ids, attention_mask=pairs, position_ids=positions.masked_fill(~attention_mask, 1))
        )


class TimedDiffusionModel(HuggingFaceDiffusionModel):
    """MDLM and BD3-LM: networks that ask for the time, and were trained to do without it."""

    def __init__(self, network: Any, compiler: GrammarCompiler, family: Family, **settings: Any) -> None:
        """As its parent. InvalidArgumentError if the network does look at the time."""
        if getattr(network.config, "time_conditioning", False):
            raise InvalidArgumentError(
                "the network was trained to be told the time (time_conditioning), which a canvas does not have; use a "
                "model without it",
                argument="model",
            )
        super().__init__(network, compiler, family, **settings)
        # BD3-LM's code expects the clean text beside the masked one otherwise, as in training.
        self._extra = {"sample_mode": True} if family.name == "bd3lm" else {}

    def _pass(self, ids: torch.Tensor) -> torch.Tensor:
        import torch

        timesteps = torch.zeros(len(ids), device=ids.device)
        return _logits(self.network(input_ids=ids, timesteps=timesteps, **self._extra))


def adapter_of(family: Family) -> type[HuggingFaceDiffusionModel]:
    """The class that calls a family's networks."""
    if family.name == "dream":
        return DreamDiffusionModel
    return TimedDiffusionModel if family.name in ("mdlm", "bd3lm") else HuggingFaceDiffusionModel


def by_length(network: Callable[[torch.Tensor], torch.Tensor], ids: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """The logits of rows that are filled at the left, from passes without the filling.

    Args:
        network: ids (b, l) → logits (b, l, V).
        ids, seen: (B, L); ``seen`` is False, then True, along each row.

    Returns:
        (B, L, V), zero at the filling.
    """
    import torch

    gaps = (~seen).sum(dim=1)
    found: torch.Tensor | None = None
    for gap in sorted(set(gaps.tolist())):
        rows = (gaps == gap).nonzero().squeeze(1)
        logits = network(ids[rows, gap:])
        if found is None:
            found = torch.zeros((*ids.shape, logits.shape[-1]), dtype=logits.dtype, device=logits.device)
        found[rows, gap:] = logits
    assert found is not None
    return found


def _logits(output: Any) -> torch.Tensor:
    """Of an output object, a tuple, or the tensor itself."""
    found = getattr(output, "logits", None)
    if found is None:
        found = output[0] if isinstance(output, tuple) else output
    tensor: torch.Tensor = found
    return tensor
