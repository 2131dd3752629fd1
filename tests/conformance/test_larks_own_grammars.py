"""Lark's own python.lark and lark.lark, as they are: verdicts of Lark itself, on files and on mutations of them.

The whole standard library: ``python benchmarks/lark_python.py``.
"""

from __future__ import annotations

import gzip
import json
import os
import random
from pathlib import Path

import pytest
from lark_oracle import (
    GRAMMARS,
    Both,
    ends_in_comment,
    lark_grammar_of_lark,
    library_files,
    mutation,
    python_grammar,
)

SHARED = Path(os.environ.get("GRAMMAR_ENGINE_SHARED", Path(__file__).resolve().parents[3] / "shared"))
SHIPPED = Path(__file__).resolve().parents[2] / "grammars"


@pytest.fixture(scope="module")
def python() -> Both:
    return python_grammar()


def compare(both: Both, texts: list[str]) -> list[int]:
    """How many texts are refused, and how many accepted, by both."""
    counts = [0, 0]
    for text in texts:
        ours, theirs = both.verdicts(text)
        assert ours == theirs, (theirs, text)
        counts[theirs] += 1
    return counts


def test_python_over_the_standard_library(python: Both) -> None:
    rng = random.Random(5)
    files = rng.sample(library_files(20_000), 25)
    originals = [path.read_text(encoding="utf-8") for path in files]
    texts = [*originals, *(mutation(text, rng) for text in originals for _ in range(2))]
    counts = compare(python, [text for text in texts if not ends_in_comment(text)])
    assert counts[0] > 5
    assert counts[1] > 30


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ('x = ""\n', True), ('x = """"""\n', True), ('x = """a"b""c"""\n', True), ("x = ''''a'''\n", True),
        ('x = "" ""\n', True), ('x = """\n', False), ('x = """"\n', False), ('x = """""\n', False),
        ("x = 00\n", True), ("x = 01\n", False), ("x = 0_1\n", False), ("x = 0x1\n", True), ("x = 0\n", True),
        ("x = 10\n", True), ("x = 09.5\n", True), ("x = 0if y else 1\n", True),
    ],
)  # fmt: skip
def test_look_ahead_in_python(text: str, valid: bool, python: Both) -> None:
    assert python.verdicts(text) == (valid, valid)


def test_lark_over_grammars() -> None:
    rng = random.Random(6)
    paths = [*sorted(GRAMMARS.glob("*.lark")), *sorted(SHIPPED.glob("*.lark"))]
    originals = [path.read_text(encoding="utf-8") for path in paths]
    corpus = SHARED / "data" / "corpora" / "lark.jsonl.gz"
    if corpus.exists():
        with gzip.open(corpus, "rt", encoding="utf-8") as lines:
            originals += [json.loads(line)["text"] for line in lines]
    texts = [*originals, *(mutation(text, rng) for text in originals for _ in range(2))]
    counts = compare(lark_grammar_of_lark(), texts)
    assert counts[0] > 10
    assert counts[1] > 10
