"""The tables of docs/json_schema.md are true: every row has cases, and what they show is what the row says.

The cases stand in data/json_schema_table.json, by keyword (or by the row's first cell, where that is more than a list
of keywords) and by format:

    {"schema": …, "valid": [values], "invalid": [values], "documents": {uri: schema}}
    {"schema": …, "refused": keyword, "pointer": JSON pointer}
    {"schema": …}                                               of an annotation: without effect

Verdicts are those of ``jsonschema``, which checks the data file too. A row that says "refused" or "else refused" needs
a case that is; a row that says "annotation" has no effect; every other row has verdicts and nothing refused, unless its
text says so. Formats are judged by the file alone: validators differ about them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import referencing
from grammar_engine.compiler.compiled import GrammarCompiler
from grammar_engine.compiler.errors import UnsupportedSchemaError
from grammar_engine.compiler.formats import FORMAT_STATUS
from grammar_engine.compiler.frontends.json_schema import dialects
from grammar_engine.compiler.frontends.json_schema.scalars import HELD_BY_PYTHON
from grammar_engine.compiler.vocabulary import Vocabulary
from referencing.jsonschema import DRAFT202012

from grammar_engine.matcher import Matcher

TEXT = (Path(__file__).parent.parent / "docs" / "json_schema.md").read_text(encoding="utf-8")
DATA = json.loads((Path(__file__).parent / "data" / "json_schema_table.json").read_text(encoding="utf-8"))
KEYWORDS: dict[str, list[dict[str, Any]]] = DATA["keywords"]
FORMATS: dict[str, dict[str, Any]] = DATA["formats"]
ANYTHING = [None, True, 0, -1.5, "", "text", [], [1, [2]], {}, {"a": {"b": 1}}]


def table(title: str) -> list[list[str]]:
    """The rows of the first table under a heading, as cells."""
    lines = TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0].splitlines()
    first = next(index for index, line in enumerate(lines) if line.startswith("|---"))
    rows: list[list[str]] = []
    for line in lines[first + 1 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip().strip("|").split(" | ")])
    return rows


def names(cell: str) -> list[str]:
    """What a first cell is about: its keywords, or, if it says more than their names, itself without parentheses."""
    listed = re.findall(r"`([^`]+)`", cell)
    rest = re.sub(r"`[^`]+`", "", cell)
    if not re.sub(r"[,/\s]|and|unknown keywords", "", rest):
        return [name.split(":")[0] for name in listed] + ["unknown keywords"] * ("unknown keywords" in rest)
    return [re.sub(r"\s*\([^)]*\)", "", cell).replace("`", "").strip()]


ROWS = [(name, status, how) for cell, status, how in table("Keywords") for name in names(cell)]


@pytest.fixture(scope="module")
def compiler() -> GrammarCompiler:
    tokens = [bytes([byte]) for byte in range(256)]
    return GrammarCompiler(Vocabulary([*tokens, b""], stop_token_ids=[256]), cache_dir="", cache_size=0)


def compiled(compiler: GrammarCompiler, case: dict[str, Any]) -> Matcher:
    documents = {"documents": case["documents"]} if "documents" in case else {}
    return Matcher(compiler.compile_json_schema(case["schema"], property_order="any", **documents))


def accepts(matcher: Matcher, text: str) -> bool:
    matcher.reset()
    return matcher.accept_bytes(text.encode()) and matcher.is_accepting()


def judge(case: dict[str, Any]) -> Any:
    """A validator of jsonschema; formats that it checks without other packages included."""
    kind = jsonschema.validators.validator_for(case["schema"], default=jsonschema.Draft202012Validator)
    registry = referencing.Registry().with_resources(
        (uri, DRAFT202012.create_resource(schema)) for uri, schema in case.get("documents", {}).items()
    )
    return kind(case["schema"], registry=registry, format_checker=kind.FORMAT_CHECKER)


def verdicts(case: dict[str, Any]) -> Iterator[tuple[Any, bool]]:
    for expected in (True, False):
        for value in case["valid" if expected else "invalid"]:
            yield value, expected


@pytest.mark.parametrize(("name", "status", "how"), ROWS, ids=[row[0] for row in ROWS])
def test_a_row_says_what_happens(compiler: GrammarCompiler, name: str, status: str, how: str) -> None:
    cases = KEYWORDS.get(name)
    assert cases, f"the row {name!r} has no case in data/json_schema_table.json"
    if status.startswith("annotation"):
        for case in cases:
            matcher = compiled(compiler, case)
            assert all(accepts(matcher, json.dumps(value)) for value in ANYTHING)
        return
    refused = [case for case in cases if "refused" in case]
    judged = [case for case in cases if "refused" not in case]
    assert status.startswith(("enforced", "refused")), status
    if status.startswith("refused"):
        assert not judged
    else:
        assert any(case["valid"] for case in judged)
        assert any(case["invalid"] for case in judged)
    # Documents that are not given are refused, too: "enforced where …".
    assert bool(refused) <= ("refused" in (status + how).lower())
    assert refused or not ("refused" in status or "where" in status)
    for case in refused:
        with pytest.raises(UnsupportedSchemaError) as raised:
            compiled(compiler, case)
        assert (raised.value.keyword, raised.value.pointer) == (case["refused"], case["pointer"])
    for case in judged:
        matcher, validator = compiled(compiler, case), judge(case)
        for value, expected in verdicts(case):
            assert validator.is_valid(value) is expected, f"jsonschema says otherwise of {value!r}"
            assert accepts(matcher, json.dumps(value, ensure_ascii=False)) is expected, value


def test_every_keyword_of_every_draft_has_a_row() -> None:
    known = {
        keyword
        for dialect in vars(dialects).values()
        if isinstance(dialect, dialects.Dialect)
        for keyword in dialect.keywords | {dialect.id_keyword}
    }
    assert {name for name, _, _ in ROWS} >= known


def test_every_case_has_a_row() -> None:
    assert set(KEYWORDS) <= {name for name, _, _ in ROWS}


def listed_formats() -> dict[str, str]:
    """Format → status, from the table; names of our own are in the text below it."""
    found: dict[str, str] = {}
    for status, cell in table("Formats"):
        plain = re.sub(r"\([^)]*\)", "", cell)
        for first, last in re.findall(r"`(\w+\d)` … `(\w+\d)`", plain):
            found.update({f"{first[:-1]}{digit}": status for digit in range(int(first[-1]), int(last[-1]) + 1)})
        found.update(dict.fromkeys(re.findall(r"`([^`]+)`", plain), status))
    section = TEXT.split("\n## Formats\n")[1].split("\n## ")[0]
    return {**dict.fromkeys(re.findall(r"`(python-[^`]+)`", section), "for Python types"), **found}


@pytest.mark.parametrize("name", sorted({*FORMAT_STATUS, *HELD_BY_PYTHON, *listed_formats()}))
def test_a_format_is_what_the_table_says(compiler: GrammarCompiler, name: str) -> None:
    status = listed_formats().get(name)
    assert status is not None, f"the format {name} is not in the table"
    assert name in FORMAT_STATUS or name in HELD_BY_PYTHON, f"the format {name} is not defined"
    assert (FORMAT_STATUS.get(name) == "restricted") is status.startswith("restricted")
    case = FORMATS[name]
    matcher = compiled(compiler, {"schema": {"type": "string", **case.get("schema", {}), "format": name}})
    assert case["valid"]
    assert case["invalid"] or case["invalid texts"]
    for value, expected in verdicts(case):
        assert accepts(matcher, json.dumps(value, ensure_ascii=False)) is expected, value
    for text in case.get("invalid texts", []):
        assert not accepts(matcher, text), text
    assert bool(case.get("left out")) is status.startswith("restricted")
    for value in case.get("left out", []):
        assert not accepts(matcher, json.dumps(value)), f"{value!r} is offered now: say so in the table"


def test_any_other_format_is_an_annotation(compiler: GrammarCompiler) -> None:
    matcher = compiled(compiler, {"schema": {"format": "no-such-format"}})
    assert all(accepts(matcher, json.dumps(value)) for value in ANYTHING)
