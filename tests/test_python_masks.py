"""Masks of Python-like grammars over a real vocabulary, by brute force and by Lark (``support/mask_exactness.py``).

At length: ``python benchmarks/mask_exactness.py``.
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from grammar_engine.compiler.vocabulary import Vocabulary
from lark_oracle import library_files
from mask_exactness import SMALL_TEXT, STRINGS_TEXT, MaskExactness, places_of

from grammar_engine.matcher import Matcher


@pytest.fixture(scope="module")
def vocabulary(shared_data: Path) -> Vocabulary:
    return Vocabulary.from_huggingface(shared_data / "tokenizers" / "smollm2_tokenizer.json.gz")


@pytest.fixture(autouse=True)
def _no_collision_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lark.lexer.has_interegular", False)


@pytest.mark.parametrize(
    ("name", "text", "places"),
    [("small", SMALL_TEXT, 10), ("python.lark", SMALL_TEXT, 8), ("python", STRINGS_TEXT, 6)],
)
def test_masks_at_places_of_all_kinds(vocabulary: Vocabulary, name: str, text: str, places: int) -> None:
    rng = random.Random(name)
    exactness = MaskExactness(name, vocabulary)
    found = sorted(places_of(text, rng, 1).items())
    exactness.check(text, dict(rng.sample(found, min(places, len(found)))), rng, tokens=500, judged=5)
    result = exactness.result
    assert not result.problems
    assert len(result.kinds) >= 6
    assert result.completed > 3 * result.unfinished
    assert result.forbidden > 15


def test_masks_in_a_file_of_the_standard_library(vocabulary: Vocabulary) -> None:
    rng = random.Random(7)
    path = rng.choice([path for path in library_files(2500) if path.stat().st_size > 1500])
    text = path.read_text(encoding="utf-8")
    exactness = MaskExactness("python.lark", vocabulary)
    exactness.check(text, dict(rng.sample(sorted(places_of(text, rng, 1).items()), 3)), rng, tokens=600, judged=4)
    assert not exactness.result.problems
    assert exactness.result.positions == 3


def test_wrong_masks_are_found(vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch) -> None:
    """One without line feeds, and one with everything."""
    places = {SMALL_TEXT.index("pass") + 4: "behind a lexeme"}
    line_feed = vocabulary.tokens.index(b"\n")
    whole = Matcher.allowed_token_ids
    monkeypatch.setattr(Matcher, "allowed_token_ids", lambda matcher: (mask := whole(matcher))[mask != line_feed])
    exactness = MaskExactness("small", vocabulary)
    exactness.check(SMALL_TEXT, places, random.Random(0), tokens=0, judged=0)
    (problem,) = exactness.result.problems
    assert problem.startswith("possible but masked: b'\\n'")

    monkeypatch.setattr(Matcher, "allowed_token_ids", lambda _: np.arange(len(vocabulary)))
    exactness = MaskExactness("small", vocabulary)
    exactness.check(SMALL_TEXT, places, random.Random(0), tokens=500, judged=0)
    assert len(exactness.result.problems) > 100
