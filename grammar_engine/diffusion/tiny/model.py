"""The tiny model as a ``DiffusionModel``: ``ge.load_model("tiny-dlm")``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from grammar_engine.diffusion.interface import DiffusionModel
from grammar_engine.errors import MissingDependencyError, ModelUnavailableError

if TYPE_CHECKING:
    import torch

    from grammar_engine.compiler.compiled import GrammarCompiler
    from grammar_engine.diffusion.tiny.network import TinyNetwork


class TinyDiffusionModel(DiffusionModel):
    """The tiny network: its attention mask hides the filling, and its positions are relative."""

    def __init__(self, network: TinyNetwork, tokenizer: object, compiler: GrammarCompiler) -> None:
        """Wrap a trained network and its tokenizer (``tiny.tokenizer.load``)."""
        super().__init__(
            compiler,
            mask_token_id=int(getattr(tokenizer, "mask_token_id")),  # noqa: B009 - transformers has no types
            pad_token_id=int(getattr(tokenizer, "pad_token_id")),  # noqa: B009
            context_length=network.shape.context,
            tokenizer=tokenizer,
            name="tiny-dlm",
        )
        self.network = network

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        found: torch.device = self.network.embedding.weight.device
        return found

    def network_logits(self, ids: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor:
        """See ``DiffusionModel``."""
        logits: torch.Tensor = self.network(ids, attention_mask)
        return logits


def load_tiny(folder: Path | None = None, *, device: str | None = None) -> TinyDiffusionModel:
    """The model of a folder that ``make train-tiny-dlm`` wrote.

    Args:
        folder: default: the one that comes with the package.
        device: default: the CPU, where a network of this size is as fast.

    Raises:
        ModelUnavailableError: the files are absent or damaged.
        MissingDependencyError: torch, safetensors or transformers is not installed.
    """
    from grammar_engine.compiler.compiled import GrammarCompiler
    from grammar_engine.compiler.vocabulary import Vocabulary

    try:
        from grammar_engine.diffusion.tiny import files
        from grammar_engine.diffusion.tiny import tokenizer as tiny_tokenizer

        place = folder or files.FOLDER
        if not (place / files.TOKENIZER).exists():
            raise ModelUnavailableError("tiny-dlm", f"{place} has no tokenizer.json", advice="Run: make train-tiny-dlm")
        tokenizer = tiny_tokenizer.load(place / files.TOKENIZER)
    except ImportError as error:
        raise MissingDependencyError("torch or transformers", extra="hf") from error
    network = files.load(place).to(device or "cpu")
    vocabulary = Vocabulary.from_huggingface(tokenizer, vocab_size=network.shape.vocabulary)
    return TinyDiffusionModel(network, tokenizer, GrammarCompiler(vocabulary))
