"""Structural tags, case by case: texts that are in the language and texts that are not (``cases/``).

Each is also put to XGrammar, if it is installed. ``xgrammar`` in a case says where it decides otherwise: it refuses the
tag, does not read the older form as it is, or ``differs`` on some texts (it accepts names and items that stand twice).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from grammar_engine.compiler.compiled import GrammarCompiler
from grammar_engine.compiler.vocabulary import Vocabulary

from grammar_engine.matcher import Matcher

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "cases" / "structural_tags.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def compiler() -> GrammarCompiler:
    tokens = [bytes([byte]) for byte in range(256)]
    return GrammarCompiler(Vocabulary([*tokens, None], stop_token_ids=[256]), cache_dir="", prepare=False)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_verdicts(case: dict[str, Any], compiler: GrammarCompiler) -> None:
    compiled = compiler.compile_structural_tag(case["tag"])

    def accepts(text: str) -> bool:
        matcher = Matcher(compiled)
        return matcher.accept_bytes(text.encode()) and matcher.is_accepting()

    assert [text for text in case["accept"] if not accepts(text)] == []
    assert [text for text in case["reject"] if accepts(text)] == []


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_verdicts_of_xgrammar(case: dict[str, Any]) -> None:
    xgrammar = pytest.importorskip("xgrammar", reason="xgrammar is not installed")
    from xgrammar.testing import _is_grammar_accept_string as accepts

    known = case.get("xgrammar", {})
    if known == "refuses":
        with pytest.raises(RuntimeError):
            xgrammar.Grammar.from_structural_tag(case["tag"])
        return
    if known == "older":
        items = [xgrammar.StructuralTagItem(**structure) for structure in case["tag"]["structures"]]
        tag = xgrammar.StructuralTag.from_legacy_structural_tag(items, case["tag"]["triggers"])
    else:
        tag = case["tag"]
    grammar = xgrammar.Grammar.from_structural_tag(tag)
    wrong = [text for text in case["accept"] if not accepts(grammar, text)]
    wrong += [text for text in case["reject"] if accepts(grammar, text)]
    assert wrong == (known.get("differs", []) if isinstance(known, dict) else [])
