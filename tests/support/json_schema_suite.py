"""The JSON-Schema-Test-Suite run through our front end: groups that compile, verdicts that differ and why.

Instances are written as ``json.dumps`` writes them, and matched byte by byte in any order of properties. The suite's
remote documents and the drafts' metaschemas are passed as documents. A schema that nothing satisfies is an error at
compile time, and every instance of it must be invalid.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema_specifications
from grammar_engine.compiler.compiled import GrammarCompiler
from grammar_engine.compiler.errors import UnsatisfiableGrammarError, UnsupportedSchemaError

from grammar_engine.matcher import Matcher

DRAFT_7 = "http://json-schema.org/draft-07/schema#"
FILES = {
    "jsts_draft2020-12": None,
    "jsts_draft7": DRAFT_7,
    "jsts_draft2020-12_format": None,
    "jsts_draft7_format": DRAFT_7,
}
"""The shared data's files, and what their schemas without ``$schema`` are read in (None: the latest draft)."""


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
    """groups: count; refused: by keyword; verdicts: count; explained: by reason; wrong: what no reason explains."""

    groups: int
    refused: Counter[str]
    verdicts: int
    explained: Counter[str]
    wrong: list[str]


def load(folder: Path, name: str) -> list[dict[str, Any]]:
    """The records of a file of the shared data."""
    with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def load_documents(folder: Path) -> dict[str, Any]:
    """The metaschemas and the suite's remote documents, by URI."""
    registry = jsonschema_specifications.REGISTRY
    found: dict[str, Any] = {uri: registry.contents(uri) for uri in registry}
    found.update((record["id"], record["schema"]) for record in load(folder, "jsts_remotes"))
    return found


def load_groups(folder: Path, name: str) -> list[dict[str, Any]]:
    """The groups of one of FILES, each schema with its draft."""
    records = load(folder, name)
    for record in records:
        if FILES[name] is not None and isinstance(record["schema"], dict):
            record["schema"].setdefault("$schema", FILES[name])
    return records


def run_suite(compiler: GrammarCompiler, records: list[dict[str, Any]], documents: dict[str, Any]) -> Outcome:
    """Compile every group's schema and compare every verdict."""
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
