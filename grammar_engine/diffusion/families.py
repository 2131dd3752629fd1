"""Kinds of published masked diffusion models: how they are recognised, and in what they differ.

| family    | models                             | mask         | logits at i are of | class of transformers |
|-----------|------------------------------------|--------------|--------------------|-----------------------|
| llada     | LLaDA, LLaDA-1.5 (Nie et al. 2025) | 126336       | i                  | AutoModel             |
| dream     | Dream (Ye et al. 2025), DiffuCoder | 151666       | i + 1              | AutoModel             |
| mdlm      | MDLM (Sahoo et al. 2024)           | its last id  | i                  | AutoModelForMaskedLM  |
| bd3lm     | BD3-LM (Arriola et al. 2025)       | its last id  | i                  | AutoModelForMaskedLM  |
| masked-lm | any other masked language model    | tokenizer's  | i                  | AutoModelForMaskedLM  |

What a model's own configuration or tokenizer says of its mask comes before what is known of its family.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from grammar_engine.errors import InvalidArgumentError


@dataclass(frozen=True, kw_only=True)
class Family:
    """One row of the table above.

    model_types, architectures: what configurations call it. mask_token_id: None where it differs from model to model.
    last_is_mask: the mask is the id behind the tokenizer's last. remote: its code comes with its weights.
    tokenizer: whose tokenizer it uses if none comes with it.
    """

    name: str
    model_types: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    mask_token_id: int | None = None
    last_is_mask: bool = False
    shift: bool = False
    auto_class: str = "AutoModelForMaskedLM"
    remote: bool = True
    tokenizer: str | None = None


FAMILIES = (
    Family(
        name="llada",
        model_types=("llada",),
        architectures=("LLaDAModelLM",),
        mask_token_id=126_336,
        auto_class="AutoModel",
    ),
    Family(
        name="dream",
        model_types=("dream",),
        architectures=("DreamModel",),
        mask_token_id=151_666,
        shift=True,
        auto_class="AutoModel",
    ),
    Family(name="mdlm", model_types=("mdlm",), architectures=("MDLM",), last_is_mask=True, tokenizer="gpt2"),
    Family(name="bd3lm", model_types=("bd3lm",), architectures=("BD3LM",), last_is_mask=True, tokenizer="gpt2"),
    Family(name="masked-lm", remote=False),
)
MASKED_LM = FAMILIES[-1]


def recognised(config: Mapping[str, Any], class_name: str = "") -> Family | None:
    """The family of a configuration, as the dict of its config.json, or None: not a masked diffusion model.

    Args:
        config: ``model_type`` and ``architectures`` are looked at.
        class_name: of the network, if it is at hand: configurations that were never saved name no architecture.
    """
    model_type = str(config.get("model_type") or "").lower()
    names = [str(name) for name in config.get("architectures") or ()] + [class_name]
    for family in FAMILIES:
        if model_type in family.model_types or any(name in family.architectures for name in names):
            return family
    return MASKED_LM if any(name.endswith("ForMaskedLM") for name in names) else None


def named(name: str) -> Family:
    """The family of this name. InvalidArgumentError if there is none."""
    for family in FAMILIES:
        if family.name == name:
            return family
    known = ", ".join(family.name for family in FAMILIES)
    raise InvalidArgumentError(f"no family of diffusion models is named {name!r}; there are {known}", argument="family")
