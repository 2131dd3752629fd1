"""The JSON-Schema-Test-Suite, drafts 7 and 2020-12, with its format files: every verdict of every schema that compiles.

The files lie in the shared data (see its README). Instances are written as ``json.dumps`` writes them, and matched byte
by byte in any order of properties. The suite's remote documents and the drafts' metaschemas are passed as documents. A
schema that nothing satisfies is an error at compile time, and every instance of it must be invalid.

What is refused, and where a verdict differs, is listed here with the reason; anything else fails the test.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema_specifications
import pytest
from grammar_engine.compiler.compiled import GrammarCompiler
from grammar_engine.compiler.errors import UnsatisfiableGrammarError, UnsupportedSchemaError
from grammar_engine.compiler.vocabulary import Vocabulary

from grammar_engine.matcher import Matcher

REFUSED = {
    "uniqueItems": "items that are not from a finite set cannot be told apart",
}
"""Keywords for which a schema of the suite is refused."""


class Difference(NamedTuple):
    """A documented reason for verdicts to differ. applies: (id, description, instance) → bool; accepted: by us."""

    reason: str
    accepted: bool
    applies: Callable[[str, str, Any], bool]


DIFFERENCES = [
    Difference(
        "format is asserted in every draft", False, lambda _, text, __: "is only an annotation by default" in text
    ),
    Difference(
        "formats of which only a part is offered (docs/json_schema.md)",
        False,
        lambda name, _, __: name.split("/")[-1].split("#")[0] in ("hostname", "idn-hostname", "ecmascript-regex"),
    ),
]


class Outcome(NamedTuple):
    """groups: how many; refused: keyword → pointers; verdicts: how many; wrong: what no reason explains."""

    groups: int
    refused: Counter[str]
    verdicts: int
    explained: Counter[str]
    wrong: list[str]


def load(folder: Path, name: str) -> list[dict[str, Any]]:
    with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def documents(shared_data: Path) -> dict[str, Any]:
    registry = jsonschema_specifications.REGISTRY
    found: dict[str, Any] = {uri: registry.contents(uri) for uri in registry}
    found.update((record["id"], record["schema"]) for record in load(shared_data, "jsts_remotes"))
    return found


@pytest.fixture(scope="module")
def compiler() -> GrammarCompiler:
    tokens = [bytes([byte]) for byte in range(256)]
    return GrammarCompiler(Vocabulary([*tokens, b""], stop_token_ids=[256]), cache_size=1, cache_dir="")


def run_suite(compiler: GrammarCompiler, records: list[dict[str, Any]], documents: dict[str, Any]) -> Outcome:
    refused: Counter[str] = Counter()
    explained: Counter[str] = Counter()
    wrong: list[str] = []
    verdicts = 0
    for record in records:
        matcher = None
        try:
            compiled = compiler.compile_json_schema(record["schema"], property_order="any", documents=documents)
            matcher = Matcher(compiled)
        except UnsupportedSchemaError as error:
            refused[error.keyword.split()[0]] += 1
            continue
        except UnsatisfiableGrammarError:
            pass
        for test in record["tests"]:
            accepted = False
            if matcher is not None:
                matcher.reset()
                text = json.dumps(test["data"], ensure_ascii=False)
                accepted = matcher.accept_bytes(text.encode("utf-8", "surrogatepass")) and matcher.is_accepting()
            verdicts += 1
            if accepted == test["valid"]:
                continue
            for difference in DIFFERENCES:
                if difference.accepted == accepted and difference.applies(
                    record["id"], test["description"], test["data"]
                ):
                    explained[difference.reason] += 1
                    break
            else:
                wrong.append(f"{record['id']} ({record['description']}): {test['description']}: accepted {accepted}")
    return Outcome(len(records), refused, verdicts, explained, wrong)


@pytest.mark.parametrize(
    ("name", "draft", "verdicts"),
    [
        ("jsts_draft2020-12", None, 1200),
        ("jsts_draft7", "http://json-schema.org/draft-07/schema#", 850),
        ("jsts_draft2020-12_format", None, 760),
        ("jsts_draft7_format", "http://json-schema.org/draft-07/schema#", 670),
    ],
)
def test_suite(
    compiler: GrammarCompiler,
    shared_data: Path,
    documents: dict[str, Any],
    name: str,
    draft: str | None,
    verdicts: int,
) -> None:
    """draft: what schemas without ``$schema`` are read in. verdicts: at least so many are compared."""
    records = load(shared_data, name)
    for record in records:
        if draft is not None and isinstance(record["schema"], dict):
            record["schema"].setdefault("$schema", draft)
    outcome = run_suite(compiler, records, documents)
    assert not outcome.wrong, "\n".join(outcome.wrong)
    assert set(outcome.refused) <= set(REFUSED), outcome.refused
    assert sum(outcome.refused.values()) <= 0.03 * outcome.groups, outcome.refused
    assert outcome.verdicts >= verdicts
    assert sum(outcome.explained.values()) < 0.07 * outcome.verdicts, outcome.explained


def test_the_comparison_can_fail(compiler: GrammarCompiler) -> None:
    tests = [{"description": "wrong on purpose", "data": 1, "valid": False}]
    record = {"id": "x", "description": "x", "schema": {"type": "integer"}, "tests": tests}
    assert run_suite(compiler, [record], {}).wrong
