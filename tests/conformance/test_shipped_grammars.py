"""Shipped grammars against oracles of their languages, beside the corpora: Lark, and Python's own regex compiler."""

from __future__ import annotations

import random
import re
import warnings
from pathlib import Path

import lark
import pytest
from corpora_verdicts import Judge, records_of

from grammar_engine import grammars

NOT_CONTEXT_FREE = re.compile(
    "look-behind|unknown group|group reference|min repeat|redefinition|character range|open group|undefined character"
)
"""Complaints of ``re`` about what the grammar of regular expressions does not cover, as its header says."""


@pytest.mark.parametrize("name", ["csv", "ini", "smiles", "toml"])
def test_lark_says_the_same(name: str, shared_data: Path) -> None:
    """Grammars that Lark's LALR parser takes: its verdicts are ours, over texts and changed texts."""
    oracle = lark.Lark(grammars.source(name), parser="lalr")
    judge = Judge(name)
    rng = random.Random(7)
    records = [record for record in records_of(shared_data, name) if "text" in record]
    seen = {True: 0, False: 0}
    for record in rng.sample(records, min(len(records), 60)):
        text: str = record["text"]
        at = rng.randrange(len(text) + 1)
        for variant in (text, text[:at] + text[at + 1 :], text[:at], text[:at] + rng.choice('"[]=.#1\n ') + text[at:]):
            try:
                oracle.parse(variant)
                expected = True
            except lark.exceptions.LarkError:
                expected = False
            assert judge.accepted(variant.encode())[0] == expected, variant
            seen[expected] += 1
    assert min(seen.values()) > 1


def test_grammars_of_lark() -> None:
    """The shipped grammars and Lark's own are texts of the grammar of Lark's language."""
    judge = Judge("lark")
    folder = Path(lark.__file__).parent / "grammars"
    texts = [grammars.source(name) for name in grammars.shipped_names()]
    texts += [path.read_text(encoding="utf-8") for path in folder.glob("*.lark")]
    for text in texts:
        assert judge.accepted(text.encode()) == (True, True), text[judge.refused_at(text.encode()) :][:80]
        assert not judge.accepted(text.encode() + b"\n: a")[0]


def complaint(pattern: str) -> str:
    """What ``re`` says against a pattern; empty if nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            re.compile(pattern)
        except (re.error, OverflowError) as error:
            return str(error)
    return ""


def test_regular_expressions(shared_data: Path) -> None:
    """Every pattern of the corpus, and changed ones: valid exactly if ``re`` compiles them."""
    judge = Judge("regex")
    rng = random.Random(2)
    patterns = sorted({record["pattern"] for record in records_of(shared_data, "regex_cases")})
    verdicts = {True: 0, False: 0}
    for pattern in patterns:
        for changed in range(6):
            text = pattern
            for _ in range(changed and rng.randint(1, 2)):
                at = rng.randrange(len(text) + 1)
                piece = rng.choice("()[]{}|*+?^$\\-.:=!<>aP0129,bd#ixn") if rng.random() < 0.7 else ""
                text = text[:at] + piece + text[at + rng.randrange(2) :]
            error = complaint(text)
            if NOT_CONTEXT_FREE.search(error):
                continue
            assert judge.accepted(text.encode())[0] == (not error), (text, error)
            verdicts[not error] += 1
    assert min(verdicts.values()) > 200
