"""What lives where the logits are: masks that were sent once, and whole automata of regular grammars."""

from __future__ import annotations

from grammar_engine.device.automaton import DeviceAutomaton
from grammar_engine.device.mask_store import DeviceMaskStore, StagedMasks

__all__ = ["DeviceAutomaton", "DeviceMaskStore", "StagedMasks"]
