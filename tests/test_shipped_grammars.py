"""Shipped grammars compiled ahead: what is read is what would be compiled; what does not fit is not taken."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from grammar_engine.compiler import shipped_grammars
from grammar_engine.compiler.frontends.lark import load_lark_grammar
from grammar_engine.compiler.frontends.lark_source import read_lark_source
from grammar_engine.compiler.shipped_grammars import SOURCES, stored_grammar, write
from same_grammars import assert_same

from grammar_engine import grammars


def test_grammars_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "some.bin"
    kept = [(read_lark_source(name), load_lark_grammar(read_lark_source(name))) for name in ("calc", "go", "toml")]
    assert stored_grammar(kept[0][0], path) is None
    shipped_grammars._index.cache_clear()
    write(path, kept)
    for source, grammar in kept:
        assert_same(grammar, stored_grammar(source, path))
        assert stored_grammar(replace(source, text=source.text + "\n"), path) is None
        assert stored_grammar(replace(source, start="other"), path) is None
        assert stored_grammar(replace(source, path="calc.lark"), path) is None
        assert stored_grammar(replace(source, postlex=object()), path) is None
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    assert stored_grammar(kept[-1][0], path) is None
    path.write_bytes(whole)
    assert stored_grammar(kept[-1][0], path) is not None
    monkeypatch.setattr(shipped_grammars, "_environment", lambda: "another Python")
    assert stored_grammar(kept[-1][0], path) is None


def test_all_that_the_front_end_imports_counts() -> None:
    program = "import sys, grammar_engine.compiler.frontends.lark; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    imported = {
        name.removeprefix("grammar_engine.compiler.")
        for name in run.stdout.split()
        if name.startswith("grammar_engine.compiler.") and not name.startswith("grammar_engine.compiler.frontends.lark")
    }
    assert imported - {"frontends", "errors"} == set(SOURCES) - {"grammar_codec"}


@pytest.mark.parametrize("name", ["go", "python"])
def test_the_file_is_what_would_be_compiled(name: str) -> None:
    source = read_lark_source(name)
    stored = stored_grammar(source)
    if stored is None:
        pytest.skip("the file is older than the grammar or the front end: run .ci/write_shipped_grammars.py")
    assert_same(load_lark_grammar(source), stored)


def test_the_file_holds_shipped_grammars_alone() -> None:
    assert len(shipped_grammars._index(shipped_grammars.PATH)) <= len(grammars.shipped_names())
