"""A small bracket language for canvases, its vocabulary with all special ids, and runs on plain canvases."""

from __future__ import annotations

import json
from typing import Any

from plain_canvas import PlainCanvas, Positions
from random_diffusion import RandomDiffusion

from grammar_engine import GrammarCompiler, Vocabulary
from grammar_engine.diffusion.fill import as_sampler
from grammar_engine.diffusion.generation import prepare_run

TOKENS = [b"[", b"]", b",", b"1", b"[]", b'"', b"a", b'"a"', b"],[", None, None, None]
STOP, PAD, MASK = 9, 10, 11
VOCABULARY = Vocabulary(TOKENS, stop_token_ids=[STOP], special_token_ids=[PAD, MASK])
COMPILER = GrammarCompiler(VOCABULARY, cache_dir="", prepare=False)
SOURCE = r"""root ::= "[" (value ("," value)*)? "]"
value ::= root | "1"+ | "\"" "a"* "\""
"""


def language() -> Any:
    """JSON arrays of arrays, ones and strings of a."""
    return COMPILER.compile_gbnf(SOURCE)


def is_json(text: str) -> bool:
    """What another parser says, of the texts that this language has alike."""
    try:
        return isinstance(json.loads(text), list)
    except ValueError:
        return False


def model(seed: int = 0, **options: Any) -> RandomDiffusion:
    """A model that knows nothing of the language."""
    return RandomDiffusion(COMPILER, mask_token_id=MASK, pad_token_id=PAD, seed=seed, **options)


def filled(
    speaker: RandomDiffusion, prompts: list[str], compiled: Any, *, plainly: bool = True, **options: Any
) -> list[Any]:
    """Results of a run on plain canvases, or on the engine's."""
    temperature = options.pop("temperature", None)
    on_step = options.pop("on_step", None)

    positions = Positions(compiled)

    def plain(ids: Any) -> PlainCanvas:
        return PlainCanvas(compiled, ids, mask_token_id=MASK, pad_token_id=PAD, positions=positions)

    run = prepare_run(
        speaker,
        prompts,
        compiled,
        sampler=as_sampler(None, temperature),
        new_canvas=plain if plainly else None,
        **options,
    )
    run.fill(on_step)
    return run.results(str)
