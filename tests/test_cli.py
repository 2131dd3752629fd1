"""The commands through a real process boundary where it matters (exit codes, streams), in process elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from grammar_engine.cli.main import app

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 1, "maximum": 120}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


@pytest.fixture
def schema_file(tmp_path: Path) -> str:
    path = tmp_path / "person.json"
    path.write_text(json.dumps(SCHEMA), "utf-8")
    return str(path)


def call(*arguments: str, stdin: str | None = None) -> Any:
    return CliRunner().invoke(app, list(arguments), input=stdin, catch_exceptions=False)


def data(*arguments: str) -> tuple[int, dict[str, Any]]:
    result = call(*arguments, "--format", "json")
    return result.exit_code, json.loads(result.stdout)


def test_check_says_yes(schema_file: str) -> None:
    assert call("check", schema_file).exit_code == 0
    code, answer = data("check", "--regex", "[ab]c")
    assert code == 0
    assert answer["ok"]
    assert answer["first_tokens_allowed"] == 2


def test_check_says_no_with_the_place(tmp_path: Path) -> None:
    code, answer = data("check", "--regex", "ab(c")
    assert code == 1
    assert answer["error"]["type"] == "GrammarSyntaxError"
    assert (answer["error"]["line"], answer["error"]["column"]) == (1, 3)
    for text, kind in {
        '{"type": "strin"}': "InvalidSchemaError",
        "{": "InvalidSchemaError",
        '{"$ref": "#/$defs/missing"}': "InvalidSchemaError",
        "false": "UnsatisfiableGrammarError",
    }.items():
        path = tmp_path / "schema.json"
        path.write_text(text, "utf-8")
        code, answer = data("check", str(path))
        assert (code, answer["error"]["type"]) == (1, kind), text


@pytest.mark.parametrize(
    "arguments",
    [
        ["check"],
        ["check", "no-such-grammar"],
        ["check", "missing.json"],
        ["check", "json", "--regex", "a"],
        ["check", "--regex", "a", "--tokenizer", "/nowhere/tokenizer.json"],
        ["check", "--regex", "a", "--tokenizer", __file__],
        ["match", "--regex", "(", "--text", "a"],
        ["match", "--regex", "a"],
        ["match", "--regex", "a", "/nowhere/text"],
        ["generate", "prompt"],
        ["generate", "prompt", "--regex", "a", "--choice", "b"],
        ["generate", "prompt", "--regex", "a", "--top-k", "3"],
        ["generate", "prompt", "--regex", "a", "--temperature", "-1"],
        ["generate", "prompt", "--regex", "a", "--max-tokens", "0"],
        ["generate", "prompt", "--regex", "a", "--model", "/nowhere/model"],
        ["bench", "--regex", "a", __file__],
        ["nonsense"],
    ],
    ids=" ".join,
)
def test_a_broken_question_is_2_with_one_line(arguments: list[str]) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr
    assert result.stderr.strip()
    assert not result.stdout


def test_match_verdicts_and_places(schema_file: str) -> None:
    code, answer = data(
        "match", schema_file, "--text", '{"name": "é", "age": 7}', "--text", '{"name": "é",\n "age": 121}'
    )
    assert code == 1
    good, bad = answer["texts"]
    assert good["matches"]
    assert not bad["matches"]
    assert (bad["line"], bad["column"]) == (2, 11)
    assert "'}'" in bad["expected"]


def test_gbnf_files_and_shipped_names(tmp_path: Path) -> None:
    path = tmp_path / "pair.gbnf"
    path.write_text('root ::= digit "-" digit # two of them\ndigit ::= [0-9]\n', "utf-8")
    assert call("check", str(path)).exit_code == 0
    code, answer = data("match", str(path), "--text", "1-2", "--text", "1-x")
    assert code == 1
    assert [text["matches"] for text in answer["texts"]] == [True, False]
    assert answer["texts"][1]["expected"] == ["'0'-'9'"]
    assert call("match", "arithmetic", "--text", "x^2 = y*(1 + 2)\n").exit_code == 0
    path.write_text("root ::= digit\n         | [0-9\n", "utf-8")
    code, answer = data("check", str(path))
    assert (code, answer["error"]["type"]) == (1, "GrammarSyntaxError")
    assert (answer["error"]["line"], answer["error"]["column"]) == (2, 12)


def test_match_shows_a_caret() -> None:
    result = call("match", "--regex", "héllo (a|b)", "--text", "héllo c")
    assert result.exit_code == 1
    assert "line 1, column 7\n  héllo c\n        ^\n  expected: 'a'-'b'" in result.stdout


def test_match_unfinished_text_and_end_of_text() -> None:
    _, answer = data("match", "--regex", "abc", "--text", "ab", "--text", "abcd", "--text", "")
    assert [text["expected"] for text in answer["texts"]] == [["'c'"], ["end of text"], ["'a'"]]


def test_match_files_and_stdin(tmp_path: Path) -> None:
    good = tmp_path / "good.txt"
    good.write_bytes("日本\n日本\n".encode())
    assert call("match", "--regex", "(日本\n)*", str(good)).exit_code == 0
    assert call("match", "--regex", "[a-z]+", "-", stdin="abc").exit_code == 0
    assert call("match", "--regex", "[a-z]+", "-", str(good), stdin="abc").exit_code == 1


def test_match_names_the_masked_token(tmp_path: Path, tiny_pair: Any) -> None:
    tiny_pair[1].save_pretrained(tmp_path)
    for tokenizer in (tmp_path, tmp_path / "tokenizer.json"):
        _, answer = data(
            "match", "--regex", "The quick( brown)+", "--text", "The quick red", "--tokenizer", str(tokenizer)
        )
        assert "number" in answer["texts"][0]["token"]


def test_bench_measures_walks_and_texts(tmp_path: Path, schema_file: str) -> None:
    code, answer = data("bench", schema_file, "--walks", "3")
    assert code == 0
    assert answer["tokens"] > 0
    assert 0 < answer["mask_p50_us"] <= answer["mask_p99_us"] <= answer["mask_max_us"]
    text = tmp_path / "text.json"
    text.write_text('{"name":"a","age":3}', "utf-8")
    code, answer = data("bench", schema_file, str(text))
    assert (code, answer["tokens"]) == (0, 20)


def test_warmup() -> None:
    code, answer = data("warmup")
    assert (code, answer["ok"], answer["model"]) == (0, True, None)


def test_the_program_itself(tmp_path: Path) -> None:
    program = Path(sys.executable).parent / "grammar-engine"
    result = subprocess.run(
        [program, "match", "--regex", "a+", "--text", "aab"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert result.stdout.startswith("'aab': no, at line 1, column 3")
    assert "Error" not in result.stderr


def test_generate(tmp_path: Path, tiny_pair: Any) -> None:
    model, tokenizer = tiny_pair
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    plain = call("generate", "The quick", "--regex", "[ab]{3}", "--model", str(tmp_path))
    assert plain.exit_code == 0
    code, answer = data("generate", "The quick", "--regex", "[ab]{3}", "--model", str(tmp_path))
    assert code == 0
    assert answer["text"] == answer["value"] == plain.stdout.strip()
    assert answer["stats"]["tokens"] == len(answer["token_ids"])
    assert data("generate", "The", "--regex", "[ab]{90}", "--model", str(tmp_path), "--max-tokens", "4")[0] == 1
    drawn = [
        call("generate", "-", "--choice", "yes", "--choice", "no", "--temperature", "1", "--seed", "3", "--model",
             str(tmp_path), stdin="The").stdout
        for _ in range(2)
    ]  # fmt: skip
    assert drawn[0] == drawn[1]
    assert drawn[0].strip() in {"yes", "no"}
