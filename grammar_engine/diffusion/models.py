"""From a name or a loaded network to a ``DiffusionModel``, with every mismatch found before the first pass.

    load_diffusion_model("tiny-dlm")                       the small model that comes with the package
    load_diffusion_model("GSAI-ML/LLaDA-8B-Instruct", trust_remote_code=True)
    load_diffusion_model((network, tokenizer))             what the caller has loaded

The special ids come from the arguments, the network's configuration, the tokenizer, and what is known of the family, in
this order. ``ge.load_model`` and ``ge.generate`` come here by themselves where a configuration is recognised.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grammar_engine.diffusion.adapters import adapter_of
from grammar_engine.diffusion.families import FAMILIES, Family, named, recognised
from grammar_engine.diffusion.interface import DiffusionModel
from grammar_engine.errors import (
    InvalidArgumentError,
    MissingDependencyError,
    ModelUnavailableError,
    TokenizerError,
)

if TYPE_CHECKING:
    import os

    from grammar_engine.compiler.compiled import GrammarCompiler
    from grammar_engine.compiler.vocabulary import Vocabulary

TINY = "tiny-dlm"
"""Name of the model that comes with the package."""
_WIDTHS = ("embedding_size", "vocab_size")
_CONTEXTS = ("max_position_embeddings", "max_sequence_length", "model_length", "n_positions", "max_seq_len")


def load_diffusion_model(
    model: str | os.PathLike[str] | DiffusionModel | tuple[Any, Any] = TINY,
    *,
    family: str | None = None,
    tokenizer: Any = None,
    mask_token_id: int | None = None,
    pad_token_id: int | None = None,
    stop_token_ids: Sequence[int] | None = None,
    shift: bool | None = None,
    chat: bool | None = None,
    device: str | None = None,
    dtype: str = "auto",
    trust_remote_code: bool = False,
    compiler: GrammarCompiler | None = None,
) -> DiffusionModel:
    """Load a masked diffusion model.

    Args:
        model: "tiny-dlm", a Hugging Face id, a folder, or ``(network, tokenizer)``. A ``DiffusionModel`` is returned as
            it is.
        family: "llada", "dream", "mdlm", "bd3lm" or "masked-lm", if the configuration does not say.
        tokenizer: with a name: another place that its tokenizer is read from.
        mask_token_id, pad_token_id, stop_token_ids, shift: instead of what the model says.
        chat: whether string prompts are user messages; default: if the tokenizer has a chat template.
        device: where the network goes; default: a GPU if there is one. A loaded pair stays where it is.
        dtype: "auto" (as stored), "float32", "bfloat16" or "float16".
        trust_remote_code: run the Python code that comes with the weights: LLaDA, Dream, MDLM and BD3-LM are such code.
        compiler: of this very network and tokenizer, to share what it remembers.

    Raises:
        ModelUnavailableError: no such model, no network, damaged files, or code that is not trusted.
        MissingDependencyError: torch or transformers is not installed.
        InvalidArgumentError: the configuration is of no known family, or a setting that this model does not take.
        TokenizerError: network and tokenizer disagree about the vocabulary; no mask id, or one that is a text token.
    """
    if isinstance(model, DiffusionModel) or model == TINY:
        told = {"family": family, "tokenizer": tokenizer, "mask_token_id": mask_token_id, "pad_token_id": pad_token_id}
        told |= {"stop_token_ids": stop_token_ids, "shift": shift, "chat": chat or None, "compiler": compiler}
        told |= {"dtype": None if dtype in ("auto", "float32") else dtype}
        _refuse_settings("a model that states its own settings", told)
        if isinstance(model, DiffusionModel):
            _refuse_settings("a model that is loaded", {"device": device})
            return model
        from grammar_engine.diffusion.tiny.model import load_tiny

        return load_tiny(device=device)
    if isinstance(model, tuple):
        _refuse_settings("a pair that is loaded", {"tokenizer": tokenizer, "dtype": None if dtype == "auto" else dtype})
        network, own_tokenizer = model
        config = _as_dict(network.config)
        chosen = _family(family, config, type(network).__name__)
        name = str(config.get("_name_or_path") or type(network).__name__)
        network = network if device is None else network.to(device)
    else:
        name = str(model)
        config = read_config(name)
        chosen = _family(family, config)
        network, own_tokenizer = _read(name, config, chosen, tokenizer, dtype, trust_remote_code)
        network = network.to(device or _default_device())
        config = _as_dict(network.config)
    if compiler is not None and stop_token_ids is not None:
        raise InvalidArgumentError("a compiler's vocabulary has its stop ids already", argument="stop_token_ids")
    if compiler is None:
        from grammar_engine.compiler.compiled import GrammarCompiler

        compiler = GrammarCompiler(_vocabulary(network, own_tokenizer, config, stop_token_ids))
    mask = _mask_id(mask_token_id, config, own_tokenizer, chosen, compiler.vocabulary)
    return adapter_of(chosen)(
        network,
        compiler,
        chosen,
        mask_token_id=mask,
        pad_token_id=_pad_id(pad_token_id, config, own_tokenizer, compiler.vocabulary, mask),
        shift=chosen.shift if shift is None else shift,
        context_length=_first_size(config, _CONTEXTS),
        tokenizer=own_tokenizer,
        chat=chat,
        name=name,
    )


def is_diffusion_pair(network: Any) -> bool:
    """Whether a loaded network is of a known family."""
    config = getattr(network, "config", None)
    return config is not None and recognised(_as_dict(config), type(network).__name__) is not None


def read_config(name: str) -> dict[str, Any]:
    """The config.json of a model, by its id or folder; none of its code is run.

    Raises:
        ModelUnavailableError: there is none.
        MissingDependencyError: transformers is not installed.
    """
    try:
        from transformers import PretrainedConfig
    except ImportError as error:
        raise MissingDependencyError("transformers", extra="hf") from error
    try:
        found, _ = PretrainedConfig.get_config_dict(name)
    except (OSError, ValueError) as error:
        raise ModelUnavailableError(
            name, str(error).strip().splitlines()[0], advice=f"Give a Hugging Face id, a folder, or {TINY!r}"
        ) from error
    return dict(found)


def _refuse_settings(what: str, settings: Mapping[str, Any]) -> None:
    for name, value in settings.items():
        if value is not None:
            raise InvalidArgumentError(f"{what} takes no {name}", argument=name)


def _family(name: str | None, config: Mapping[str, Any], class_name: str = "") -> Family:
    if name is not None:
        return named(name)
    found = recognised(config, class_name)
    if found is None:
        known = ", ".join(family.name for family in FAMILIES)
        raise InvalidArgumentError(
            f"{class_name or config.get('architectures')} (model_type {config.get('model_type')!r}) is no masked "
            f"diffusion model that is known; name its family ({known}) or write a DiffusionModel for it",
            argument="model",
        )
    return found


def _read(
    name: str, config: Mapping[str, Any], family: Family, tokenizer: Any, dtype: str, trusted: bool
) -> tuple[Any, Any]:
    """The network and the tokenizer of a name."""
    import transformers

    if family.remote and not trusted:
        raise ModelUnavailableError(
            name,
            f"models of the family {family.name!r} are Python code that comes with their weights",
            advice="Read that code, then load with trust_remote_code=True",
        )
    auto_class = getattr(transformers, family.auto_class)
    try:
        network = auto_class.from_pretrained(name, dtype=dtype, trust_remote_code=trusted)
        if tokenizer is None or isinstance(tokenizer, (str, Path)):
            source = tokenizer or _tokenizer_source(name, family)
            tokenizer = transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=trusted)
    except (OSError, ValueError) as error:
        advice = f"Give the id or the folder of a masked diffusion model; this one says {config.get('architectures')}"
        raise ModelUnavailableError(name, str(error).strip().splitlines()[0], advice=advice) from error
    return network, tokenizer


def _tokenizer_source(name: str, family: Family) -> str:
    """The model's own place, unless its family is published without tokenizers and this place has none."""
    if family.tokenizer is None:
        return name
    from transformers.utils import cached_file

    for file in ("tokenizer.json", "tokenizer_config.json"):
        if cached_file(name, file, _raise_exceptions_for_missing_entries=False) is not None:
            return name
    return family.tokenizer


def _vocabulary(
    network: Any, tokenizer: Any, config: Mapping[str, Any], stop_token_ids: Sequence[int] | None
) -> Vocabulary:
    """The tokenizer's vocabulary, as wide as the logits."""
    from grammar_engine.compiler.vocabulary import Vocabulary

    plain = Vocabulary.from_huggingface(tokenizer)
    width = _width(network, config)
    # Rows of padding behind the tokenizer's ids make the matrix fit the hardware: hundreds in 100,000, at most some
    # thousands. With more than that, the tokenizer is another model's. Ids that the logits lack cannot be explained.
    if plain.size > width or width - plain.size > max(256, width // 20):
        raise TokenizerError(
            f"the tokenizer has {plain.size} ids, but the network's logits are {width} wide: they do not belong "
            "together. Load the tokenizer that the model was trained with"
        )
    stops = set(stop_token_ids or plain.stop_token_ids)
    if stop_token_ids is None:
        settings = getattr(network, "generation_config", None)
        for declared in (config.get("eos_token_id"), getattr(settings, "eos_token_id", None)):
            ids = [declared] if isinstance(declared, int) else list(declared or ())
            # Configurations carry defaults that nobody meant: an id with a text of its own does not end texts.
            stops |= {i for i in ids if 0 <= i < width and (i >= plain.size or plain[i] is None)}
        separator = getattr(tokenizer, "sep_token_id", None)
        if not stops and isinstance(separator, int):
            stops.add(separator)  # BERT and its like end what they write with it
    return Vocabulary.from_huggingface(tokenizer, stop_token_ids=sorted(stops), vocab_size=width)


def _width(network: Any, config: Mapping[str, Any]) -> int:
    """V, the width of the logits."""
    head = network.get_output_embeddings() if hasattr(network, "get_output_embeddings") else None
    if head is not None:
        return int(head.weight.shape[0])
    found = _first_size(config, _WIDTHS)
    if found is None:
        raise InvalidArgumentError("the network's configuration states no vocab_size", argument="model")
    return found


def _mask_id(
    given: int | None, config: Mapping[str, Any], tokenizer: Any, family: Family, vocabulary: Vocabulary
) -> int:
    """The mask's id; that it is no text is checked by ``DiffusionModel``."""
    if given is not None:
        return given
    stated = config.get("mask_token_id", config.get("mask_index"))
    spelled = getattr(tokenizer, "mask_token_id", None)
    if isinstance(stated, int) and isinstance(spelled, int) and stated != spelled:
        raise TokenizerError(
            f"the configuration says that the mask is {stated}, the tokenizer that it is {spelled}; "
            "say which with mask_token_id"
        )
    for found in (stated, spelled, family.mask_token_id):
        if isinstance(found, int):
            return found
    if family.last_is_mask:
        return vocabulary.size - 1
    raise TokenizerError(
        "the model has no mask id: neither its configuration nor its tokenizer names one. Give mask_token_id"
    )


def _pad_id(
    given: int | None, config: Mapping[str, Any], tokenizer: Any, vocabulary: Vocabulary, mask: int
) -> int | None:
    """The pad's id, or None for the first stop id."""
    if given is not None:
        return given
    for found in (config.get("pad_token_id"), getattr(tokenizer, "pad_token_id", None)):
        # As with stop ids: configurations state pads that are ordinary tokens, and were never used as pads.
        if isinstance(found, int) and 0 <= found < vocabulary.size and vocabulary[found] is None and found != mask:
            return found
    return None


def _first_size(config: Mapping[str, Any], names: Sequence[str]) -> int | None:
    for name in names:
        value = config.get(name)
        if isinstance(value, int) and value > 0:
            return value
    return None


def _as_dict(config: Any) -> dict[str, Any]:
    """A configuration's settings, defaults included."""
    return dict(config.to_dict()) if hasattr(config, "to_dict") else dict(vars(config))


def _default_device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
