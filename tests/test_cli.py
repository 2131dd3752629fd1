"""The commands through a real process boundary where it matters (exit codes, streams), in process elsewhere."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

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
        ["sample", "--regex", "a", "-n", "0"],
        ["sample", "nonsense"],
        ["show", "no-such-grammar"],
        ["explain-mask", "--regex", "("],
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


def test_match_names_terminals_and_rules(tmp_path: Path, schema_file: str) -> None:
    code, answer = data("match", "json", "--text", '{"a": [1, 2,]}')
    (text,) = answer["texts"]
    assert code == 1
    assert text["rules"] == ["start", "value", "object", "pair", "value", "array"]
    assert set(text["terminals"]) == {"STRING", "NUMBER", '"["', '"{"', '"true"', '"false"', '"null"'}
    shown = call("match", "json", "--text", '{"a": [1, 2,]}').stdout
    assert "column 13" in shown
    assert "inside of: start > value > object > pair > value > array" in shown
    _, answer = data("match", schema_file, "--text", '{"name": "a", "age": x')
    assert answer["texts"][0]["rules"] == ["/age"]
    long = "x = " + "1 + " * 100 + "*\n"
    (line, caret) = call("match", "arithmetic", "--text", long).stdout.splitlines()[1:3]
    assert len(line) < 110
    assert line[caret.index("^")] == "*"
    path = tmp_path / "tabs.txt"
    path.write_text("\t\t[1,\t}", "utf-8")
    (line, caret) = call("match", "json", str(path)).stdout.splitlines()[1:3]
    assert line.expandtabs()[caret.expandtabs().index("^")] == "}"


def test_start_names_a_rule(tmp_path: Path) -> None:
    path = tmp_path / "pair.gbnf"
    path.write_text('root ::= digit "-" digit\ndigit ::= [0-9]\n', "utf-8")
    assert call("match", str(path), "--start", "digit", "--text", "1").exit_code == 0
    assert call("match", "json", "--start", "pair", "--text", '"a": 1').exit_code == 0
    assert call("match", "json", "--start", "nothing", "--text", "1").exit_code == 2
    assert call("match", "--regex", "a", "--start", "x", "--text", "a").exit_code == 2


def test_lint(tmp_path: Path, schema_file: str) -> None:
    assert call("check", "json", "--lint").exit_code == 0
    assert call("check", schema_file, "--lint").exit_code == 0
    path = tmp_path / "odd.lark"
    path.write_text('start: e\ne: e "+" e | "x"\nlost: "y"\n', "utf-8")
    code, answer = data("check", str(path), "--lint")
    assert code == 1
    assert answer["compiles"]
    found = {finding["kind"]: finding for finding in answer["findings"]}
    assert found["ambiguous"]["witness"] == "x+x+x"
    assert (found["unreachable-rule"]["line"], found["unreachable-rule"]["column"]) == (3, 1)
    assert f"{path}:3:1: unreachable-rule: rule lost is never used" in call("check", str(path), "--lint").stdout
    assert call("check", str(path)).exit_code == 0
    path.write_text('start: "a" start\n', "utf-8")
    code, answer = data("check", str(path), "--lint")
    assert (code, answer["compiles"]) == (1, False)
    assert answer["error"]["type"] == "UnsatisfiableGrammarError"
    assert "empty-language" in {finding["kind"] for finding in answer["findings"]}


def test_sample(schema_file: str) -> None:
    code, answer = data("sample", "calc", "-n", "7", "--seed", "2", "--length", "60")
    assert code == 0
    assert len(answer["samples"]) == 7
    assert data("sample", "calc", "-n", "7", "--seed", "2", "--length", "60")[1] == answer
    given = [argument for text in answer["samples"] for argument in ("--text", text)]
    assert call("match", "calc", *given).exit_code == 0
    assert answer["coverage"]["alternatives"] <= answer["coverage"]["of_alternatives"]
    people = [json.loads(text) for text in data("sample", schema_file)[1]["samples"]]
    assert all(set(person) == {"name", "age"} for person in people)
    assert len(call("sample", "--regex", "[ab]{3}", "-n", "3").stdout.splitlines()) == 3
    assert call("sample", "--regex", "a{30}", "--length", "20").exit_code == 1


def test_explain_mask(schema_file: str) -> None:
    code, answer = data("explain-mask", schema_file, "--prefix", '{"name"', "--token", ': "x', "--token", "}")
    assert code == 0
    assert answer["rules"] == ["/name"]
    assert [asked["fits"] for asked in answer["asked"]] == [4, 0]
    assert "':'" in answer["expected"]
    shown = call("explain-mask", "calc", "--prefix", "1+f(2,", "--token", "3*)").stdout
    assert "inside of: start > sum > product > signed > power > atom" in shown
    assert "'3*)': only '3*' of it" in shown
    assert call("explain-mask", "calc", "--prefix", "1)").exit_code == 1


def test_show(tmp_path: Path) -> None:
    dot = call("show", "calc", "--automaton", "NUMBER").stdout
    assert dot.startswith('digraph "NUMBER" {')
    assert "doublecircle" in dot
    assert call("show", "calc", "--automaton", "NOTHING").exit_code == 2
    pytest.importorskip("railroad", reason="needs the extra show")
    gbnf = tmp_path / "g.gbnf"
    gbnf.write_text('root ::= ("a" | [b-d]{2,3} pair?)*\npair ::= "<&>" root\n', "utf-8")
    for arguments, names in ((["calc"], "sum"), ([str(gbnf)], "pair"), (["--regex", "a(b|c)?"], "a(b|c)?")):
        page = tmp_path / "page.html"
        assert call("show", *arguments, "-o", str(page)).exit_code == 0
        text = page.read_text("utf-8")
        assert f"{names}</h2>" in text
        for drawing in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
            ET.fromstring(drawing)  # noqa: S314 - our own
    assert call("show", "calc", "--rule", "nothing").exit_code == 2


def test_bench_measures_walks_and_texts(tmp_path: Path, schema_file: str) -> None:
    code, answer = data("bench", schema_file, "--walks", "3")
    assert code == 0
    assert answer["tokens"] > 0
    assert 0 < answer["mask_p50_us"] <= answer["mask_p99_us"] <= answer["mask_max_us"]
    text = tmp_path / "text.json"
    text.write_text('{"name":"a","age":3}', "utf-8")
    code, answer = data("bench", schema_file, str(text))
    assert (code, answer["tokens"]) == (0, 20)


def test_warmup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert data("warmup")[1]["shipped"] == 0  # the disk cache is off
    monkeypatch.setenv("GRAMMAR_ENGINE_MASK_CACHE", str(tmp_path))
    monkeypatch.setattr("grammar_engine.grammars.shipped_names", lambda *_: ("calc", "json", "csv"))
    monkeypatch.setattr("grammar_engine.compiler.shipped_grammars.PATH", tmp_path / "none")
    code, answer = data("warmup")
    assert answer["shipped"] == len(list((tmp_path / "grammars").iterdir())) == 3
    assert data("warmup")[1]["shipped"] == 0
    assert (code, answer["ok"], answer["model"], answer["grammar"]) == (0, True, None, None)


def test_warmup_of_a_grammar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAMMAR_ENGINE_MASK_CACHE", str(tmp_path / "cache"))
    texts = tmp_path / "texts"
    (texts / "more").mkdir(parents=True)
    (texts / "one.calc").write_text("1 + x")
    (texts / "more" / "two.calc").write_text("(2)")
    code, answer = data("warmup", "calc", "--texts", str(texts))
    assert code == 0
    assert answer["grammar"]["texts"] == 2
    assert answer["grammar"]["masks"] == 6 + 4
    (engine,) = (tmp_path / "cache" / "engines").iterdir()
    content = engine.read_bytes()
    assert "10 masks of 2 texts" in call("warmup", "calc", "--texts", str(texts)).stdout
    assert engine.read_bytes() == content
    assert data("warmup", "calc", "--start", "sum")[1]["grammar"]["masks"] == 1
    assert len(list((tmp_path / "cache" / "engines").iterdir())) == 2

    assert call("warmup", "--texts", str(texts)).exit_code == 2
    assert call("warmup", "calc", "--texts", str(tmp_path / "none")).exit_code == 2
    (tmp_path / "empty").mkdir()
    assert call("warmup", "calc", "--texts", str(tmp_path / "empty")).exit_code == 2
    (texts / "one.calc").write_bytes(b"\xff")
    assert call("warmup", "calc", "--texts", str(texts)).exit_code == 2


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


def test_generate_with_particles(tmp_path: Path, tiny_pair: Any) -> None:
    """A weighted text under a condition from a file; the population as a page and as data, also of a failure."""
    model, tokenizer = tiny_pair
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    rules = tmp_path / "rules.py"
    rules.write_text("def no_b(text):\n    return 'b' not in text\n\ndef none(text):\n    return not text\n", "utf-8")
    page = tmp_path / "page.html"
    common = ["generate", "The", "--regex", "[ab]{3}", "--model", str(tmp_path), "--particles", "3", "--seed", "1"]
    result = call(*common, "--condition", f"{rules}:no_b", "--population", str(page))
    assert (result.exit_code, result.stdout) == (0, "aaa\n")
    assert page.read_text("utf-8").count("<pre>aaa</pre>") == 3
    code, answer = data(*common, "--condition", f"{rules}:no_b")
    assert code == 0
    assert answer["posterior"] == {"aaa": pytest.approx(1)}
    assert len(answer["particles"]) == 3
    dead = tmp_path / "dead.json"
    code, answer = data(*common, "--condition", f"{rules}:none", "--population", str(dead))
    assert (code, answer["error"]["type"]) == (1, "AllParticlesDeadError")
    assert len(json.loads(dead.read_text("utf-8"))["particles"]) == 3
    for wrong in (
        ["--condition", f"{rules}:absent"],
        ["--condition", str(rules)],
        ["--condition", f"{tmp_path}/absent.py:no_b"],
        ["--condition", "no.such.module:name"],
        ["--population", "page.txt"],
        ["--top-k", "3"],
        ["--temperature", "0"],
    ):
        assert call(*common, *wrong).exit_code == 2, wrong
    assert call("generate", "The", "--regex", "a", "--condition", f"{rules}:no_b").exit_code == 2
