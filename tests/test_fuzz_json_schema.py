"""A short differential fuzzing of the JSON Schema front end (at length: ``benchmarks/fuzz_json_schema.py``)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from schema_fuzzing.campaign import Campaign
from schema_fuzzing.engine import keeps_layout, repeated_names
from schema_fuzzing.oracles import Oracles
from schema_fuzzing.schemas import DRAFTS
from schema_fuzzing.shrinking import shrink


@pytest.mark.parametrize("seed", range(3))
def test_verdicts_are_equal_or_explained(seed: int) -> None:
    report = Campaign(seed, max_differences=3).run(1500)
    assert not report.differences, "\n".join(map(str, report.differences))
    assert report.equal >= 0.97 * report.verdicts
    assert 0.1 * report.verdicts < report.accepted < 0.9 * report.verdicts
    assert report.unfinished <= 0.1 * report.walks


class _Lax:
    """An engine that takes the first schema with ``maximum`` for one without."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def compile(self, schema: Any, **options: Any) -> Any:
        lax = json.loads(json.dumps(schema).replace('"maximum"', '"x-maximum"'))
        return self._engine.compile(lax, **options)


def test_a_keyword_that_is_not_enforced_is_found_and_made_small() -> None:
    campaign = Campaign(0, max_differences=1)
    campaign._engine = _Lax(campaign._engine)  # type: ignore[assignment]
    (difference,) = campaign.run(20_000).differences
    assert difference.kind == "verdict", difference
    assert "maximum" in json.dumps(difference.schema)
    assert len(json.dumps(difference.schema)) < 200


def test_repairs_explain_only_what_they_name() -> None:
    latest = DRAFTS[-1]
    oracles = Oracles({"multipleOf": 0.1}, latest)
    assert oracles.verdicts(0.3) == (False, True)
    assert oracles.explanation(0.3, "0.3", ours=True) == "python numbers"
    assert oracles.explanation(0.3, "0.3", ours=False) is None
    assert oracles.explanation(0.35, "0.35", ours=True) is None
    assert Oracles({"pattern": r"^\d{2}$"}, latest).explanation("12\n", '"12\\n"', ours=False) == "regex"
    assert Oracles({"minLength": 2}, latest).explanation("a", '"a"', ours=True) is None


def test_shrinking_keeps_the_failure() -> None:
    value = {"a": [1, {"b": [2, 3, {"needle": "x"}]}], "c": "more"}
    small = shrink(value, lambda part: "needle" in json.dumps(part))
    assert small in ({"needle": True}, {"needle": ""}, {"needle": {}})


def test_texts_are_inspected_as_text() -> None:
    assert repeated_names('[{"a": 1, "\\u0061": 2}]')
    assert not repeated_names('[{"a": 1}, {"a": 2}]')
    assert keeps_layout('{"\\u0061": 1.5e3, "b": []}')
    assert not keeps_layout('{"a":1}')
    assert keeps_layout('{\n "a": [\n  1\n ]\n}', indent=1)
