"""The JSON-Schema-Test-Suite, drafts 7 and 2020-12, with its format files: every verdict of every schema that compiles.

What is refused, and where a verdict differs, is listed with the reason; anything else fails the test.
``python benchmarks/json_schema_suite.py`` prints the counts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from byte_texts import byte_compiler
from grammar_engine.compiler.compiled import GrammarCompiler
from json_schema_suite import load_documents, load_groups, run_suite

REFUSED = {
    "uniqueItems": "items that are not from a finite set cannot be told apart",
}
"""Keywords for which a schema of the suite is refused."""


@pytest.fixture(scope="module")
def documents(shared_data: Path) -> dict[str, Any]:
    return load_documents(shared_data)


@pytest.fixture(scope="module")
def compiler() -> GrammarCompiler:
    return byte_compiler()


@pytest.mark.parametrize(
    ("name", "verdicts"),
    [
        ("jsts_draft2020-12", 1200),
        ("jsts_draft7", 850),
        ("jsts_draft2020-12_format", 760),
        ("jsts_draft7_format", 670),
    ],
)
def test_suite(
    compiler: GrammarCompiler, shared_data: Path, documents: dict[str, Any], name: str, verdicts: int
) -> None:
    """verdicts: at least so many are compared."""
    outcome = run_suite(compiler, load_groups(shared_data, name), documents)
    assert not outcome.wrong, "\n".join(outcome.wrong)
    assert set(outcome.refused) <= set(REFUSED), outcome.refused
    assert sum(outcome.refused.values()) <= 0.03 * outcome.groups, outcome.refused
    assert outcome.verdicts >= verdicts
    assert sum(outcome.explained.values()) < 0.07 * outcome.verdicts, outcome.explained


def test_the_comparison_can_fail(compiler: GrammarCompiler) -> None:
    tests = [{"description": "wrong on purpose", "data": 1, "valid": False}]
    record = {"id": "x", "description": "x", "schema": {"type": "integer"}, "tests": tests}
    assert run_suite(compiler, [record], {}).wrong
