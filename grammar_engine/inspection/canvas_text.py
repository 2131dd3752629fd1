"""A canvas filling up, on a terminal: a line for each step, what is new in it marked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from grammar_engine.diffusion.records import COMMITTED, RECOVERED
from grammar_engine.inspection.canvas_page import token_text

if TYPE_CHECKING:
    from grammar_engine.diffusion.records import StepRecord

_NEW = "bold green"
_CORRECTED = "bold yellow"
_OPEN = "dim"
_DOT = "·"
_FEW = 3


def step_text(step: StepRecord, shown: Any, mask_id: int) -> Text:
    """The canvas behind a step, up to the end of the text.

    Open slots are dots (of many at the end, how many), new tokens green, yellow where the model had liked one better
    that is not allowed.
    """
    new = {slot.slot: slot for slot in step.slots if slot.state in (COMMITTED, RECOVERED)}
    line = Text(f"{step.number:4d}  ", style="dim")
    end = next((slot for slot, token in enumerate(step.token_ids) if token in shown.stop_token_ids), None)
    tokens = list(step.token_ids[:end])
    num_open = 0
    while tokens and tokens[-1] == mask_id:
        tokens.pop()
        num_open += 1
    for slot, token in enumerate(tokens):
        if token == mask_id:
            line.append(_DOT, _OPEN)
            continue
        text = token_text(shown, token).replace("\n", "⏎").replace("\r", "␍")
        if slot in new:
            line.append(text, _CORRECTED if new[slot].is_allowed is False else _NEW)
        else:
            line.append(text, "default")
    line.append(_DOT * num_open if num_open <= _FEW else f"{_DOT * _FEW} {num_open} open", _OPEN)
    return line
