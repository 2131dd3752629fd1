"""The loop: schemas, values, verdicts, walks; what was counted, and every difference made small."""

from __future__ import annotations

import json
import random
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from grammar_engine.compiler.compiled import CompiledGrammar
from grammar_engine.compiler.errors import (
    GrammarEngineError,
    InvalidSchemaError,
    LimitExceededError,
    UnsatisfiableGrammarError,
    UnsupportedSchemaError,
)

from schema_fuzzing.engine import DeadEndError, OurEngine, keeps_layout, repeated_names
from schema_fuzzing.instances import Instances, as_given
from schema_fuzzing.numbers import holds_infinity, plain_text
from schema_fuzzing.oracles import Oracles
from schema_fuzzing.schemas import (
    APPLICATORS,
    DRAFTS,
    Draft,
    Focus,
    SchemaGenerator,
    children,
    focuses,
    patterns_of,
    subschemas,
)
from schema_fuzzing.shrinking import shrink
from schema_fuzzing.strings import PYTHON_PATTERNS

LAYOUTS: tuple[dict[str, Any], ...] = (
    {"any_whitespace": False},
    {"indent": 2},
    {"indent": 0},
    {"separators": (",", ":")},
    {"separators": (" , ", ": "), "indent": 1},
)

# What an error of the front end or of a validator may be: a bug here, to be reported with its schema.
BUGS = (ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


@dataclass
class Difference:
    """Something that should not be, as small as it could be made."""

    kind: str
    schema: Any
    text: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.kind}\n    schema {json.dumps(self.schema)}\n    text   {self.text}\n    {self.detail}"


@dataclass
class Report:
    """Counts of one campaign."""

    schemas: int = 0
    verdicts: int = 0
    accepted: int = 0
    equal: int = 0
    walks: int = 0
    unfinished: int = 0
    explained: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    refused_later: Counter[str] = field(default_factory=Counter)
    pairs: Counter[Focus] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    slowest: tuple[float, Any] = (0.0, None)

    def uncovered(self) -> dict[str, list[Focus]]:
        """Per draft, the pairs that no compared schema held."""
        found: dict[str, list[Focus]] = {}
        for draft in DRAFTS:
            missing = [focus for focus in focuses(draft) if focus not in self.pairs]
            found[draft.name] = missing
        return found


class Campaign:
    """Compares until enough verdicts are there."""

    def __init__(self, seed: int, *, values: int = 20, walks: int = 4, max_differences: int = 20) -> None:
        """values, walks: per schema."""
        self._rng = random.Random(seed)
        self._values = values
        self._walks = walks
        self._max_differences = max_differences
        self._engine = OurEngine()
        self.report = Report()

    def run(self, verdicts: int, progress: Callable[[Report], None] | None = None) -> Report:
        """At least so many verdicts, or until too much is wrong."""
        report = self.report
        for draft, focus in self._plan():
            if report.verdicts >= verdicts or len(report.differences) >= self._max_differences:
                break
            self.compare(SchemaGenerator(draft, self._rng).generate(focus), draft)
            if progress is not None:
                progress(report)
        return report

    def _plan(self) -> Iterator[tuple[Draft, Focus]]:
        """Every pair of every draft in random order, over and over."""
        while True:
            plan = [(draft, focus) for draft in DRAFTS for focus in focuses(draft)]
            self._rng.shuffle(plan)
            yield from plan

    def compare(self, schema: Any, draft: Draft) -> None:
        """All that is compared about one schema."""
        report = self.report
        report.schemas += 1
        started = time.process_time()
        compiled = self._compiled(schema)
        seconds = time.process_time() - started
        if seconds > report.slowest[0]:
            report.slowest = (seconds, schema)
        if compiled is False:
            return
        for focus in held_pairs(schema):
            report.pairs[focus] += 1
        oracles = Oracles(schema, draft)
        try:
            self._compare_values(schema, draft, compiled, oracles)
            if compiled is not None:
                self._compare_walks(schema, draft, compiled, oracles, {})
                if self._rng.random() < 0.4:
                    order = self._rng.choice(["declared", "any"])
                    layout = {"property_order": order, **self._rng.choice(LAYOUTS)}
                    other = self._engine.compile(schema, **layout)
                    self._compare_walks(schema, draft, other, oracles, layout)
        except (UnsupportedSchemaError, LimitExceededError) as error:
            report.refused_later[_name(error)] += 1
        except BUGS as error:
            self._report_bug(schema, error)

    def _compiled(self, schema: Any) -> CompiledGrammar | bool | None:
        """The grammar; None if nothing satisfies the schema; False if it is refused."""
        try:
            return self._engine.compile(schema)
        except UnsatisfiableGrammarError:
            return None
        except InvalidSchemaError as error:
            if "refers to itself" not in error.reason:
                self._add(Difference("malformed", schema, "", error.reason))
            self.report.refused["refers to itself"] += 1
        except (UnsupportedSchemaError, LimitExceededError) as error:
            self.report.refused[_name(error)] += 1
        except BUGS as error:
            self._report_bug(schema, error)
        return False

    # -- values -------------------------------------------------------------------------------------------------------

    def _compare_values(self, schema: Any, draft: Draft, compiled: Any, oracles: Oracles) -> None:
        for text in self._texts(schema, oracles):
            ours = compiled is not None and self._engine.accepts(compiled, text)
            self._verdict(schema, draft, text, ours, oracles)

    def _texts(self, schema: Any, oracles: Oracles) -> Iterator[str]:
        source = Instances(schema, self._rng)
        valid: list[Any] = []
        for number in range(self._values):
            kind = number % 4
            if kind == 0 or (kind == 1 and not valid):
                value = source.constructed()
            elif kind in (1, 2) and valid:
                value = source.mutated(self._rng.choice(valid))
            else:
                value = source.random() if kind == 3 else source.mutated(source.constructed())
            if all(oracles.verdicts(value)):
                valid.append(value)
            yield json.dumps(value, ensure_ascii=self._rng.random() < 0.05)

    def _verdict(self, schema: Any, draft: Draft, text: str, ours: bool, oracles: Oracles) -> None:
        report = self.report
        report.verdicts += 1
        report.accepted += ours
        why = self._judge(text, ours, oracles, schema)
        if why == "":
            report.equal += 1
        elif why is not None:
            report.explained[why] += 1
        else:
            self._report_difference(schema, draft, text, ours)

    def _judge(self, text: str, ours: bool, oracles: Oracles, schema: Any) -> str | None:
        """An empty string if all agree, the rule that explains a difference, or None."""
        value = json.loads(text)
        if "inf" in repr(value) and holds_infinity(value):
            return "a number beyond a double"
        if oracles.verdicts(value) == (ours, ours):
            return ""
        why = oracles.explanation(value, text, ours)
        if why is None and not ours:
            respelled = plain_text(value)
            if respelled != text and self._accepts(schema, respelled):
                return "spelling: 1.0 for 1, an exponent, or an escape in a name"
            respelled = plain_text(as_given(value, schema))
            if respelled != text and self._accepts(schema, respelled):
                return "spelling: members of a given object in another order"
        if why is None and ours and repeated_names(text):
            return "repeated additional names"
        return why

    def _accepts(self, schema: Any, text: str) -> bool:
        try:
            return self._engine.accepts(self._engine.compile(schema), text)
        except UnsatisfiableGrammarError:
            return False

    def _report_difference(self, schema: Any, draft: Draft, text: str, ours: bool) -> None:
        def differs(smaller: Any) -> bool:
            return self._differs(smaller, draft, text, ours)

        small = shrink(schema, differs)

        def text_differs(value: Any) -> bool:
            return self._differs(small, draft, json.dumps(value, ensure_ascii=False), ours)

        value = json.loads(text)
        if text_differs(value):
            text = json.dumps(shrink(value, text_differs, attempts=200), ensure_ascii=False)
            small = shrink(small, lambda smaller: self._differs(smaller, draft, text, ours), attempts=200)
        said = Oracles(small, draft).verdicts(json.loads(text))
        detail = f"ours {ours}, jsonschema {said[0]}, jsonschema-rs {said[1]}"
        self._add(Difference("verdict", small, text, detail))

    def _add(self, difference: Difference) -> None:
        """The same small schema is shown once."""
        if all((other.kind, other.schema) != (difference.kind, difference.schema) for other in self.report.differences):
            self.report.differences.append(difference)

    def _differs(self, schema: Any, draft: Draft, text: str, ours: bool) -> bool:
        """Does a smaller schema (which may be no schema at all) still show the difference?"""
        if not isinstance(schema, dict | bool):
            return False
        given = schema.get("$schema", DRAFTS[-1].uri) if isinstance(schema, dict) else DRAFTS[-1].uri
        if given != draft.uri:
            return False
        try:
            return (
                set(patterns_of(schema)) <= PYTHON_PATTERNS.keys()
                and self._accepts(schema, text) == ours
                and self._judge(text, ours, Oracles(schema, draft), schema) is None
            )
        except (GrammarEngineError, *BUGS):
            return False

    # -- walks --------------------------------------------------------------------------------------------------------

    def _compare_walks(
        self, schema: Any, draft: Draft, compiled: CompiledGrammar, oracles: Oracles, layout: dict[str, Any]
    ) -> None:
        report = self.report
        for _ in range(self._walks if not layout else 2):
            seed = self._rng.random()
            try:
                text = self._engine.walk(compiled, random.Random(seed), 40)
            except DeadEndError as error:
                self._report_dead_end(schema, error, layout)
                continue
            report.walks += 1
            if text is None:
                report.unfinished += 1
                continue
            self._verdict(schema, draft, text, True, oracles)
            if "indent" in layout or "separators" in layout:
                given = {name: layout[name] for name in ("indent", "separators") if name in layout}
                if not repeated_names(text) and not keeps_layout(text, **given):
                    self._add(Difference("layout", schema, text, str(layout)))

    def _report_dead_end(self, schema: Any, error: DeadEndError, layout: dict[str, Any]) -> None:
        kind = str(error).split(" after ")[0]

        def fails(smaller: Any) -> bool:
            try:
                compiled = self._engine.compile(smaller, **layout)
                for seed in range(30):
                    self._engine.walk(compiled, random.Random(seed), 40)
            except DeadEndError as other:
                return str(other).split(" after ")[0] == kind
            except (GrammarEngineError, *BUGS):
                return False
            return False

        small = shrink(schema, fails, attempts=150) if fails(schema) else schema
        self._add(Difference("dead end", small, error.text.decode(errors="replace"), str(error)))

    def _report_bug(self, schema: Any, error: Exception) -> None:
        def fails(smaller: Any) -> bool:
            try:
                compiled = self._engine.compile(smaller)
                for seed in range(10):
                    self._engine.walk(compiled, random.Random(seed), 40)
            except (GrammarEngineError, DeadEndError):
                return False
            except BUGS as other:
                return type(other) is type(error)
            return False

        small = shrink(schema, fails, attempts=200) if fails(schema) else schema
        place = traceback.extract_tb(error.__traceback__)[-1]
        self._add(Difference("crash", small, "", f"{type(error).__name__}: {error}, {place.filename}:{place.lineno}"))


def held_pairs(schema: Any) -> set[Focus]:
    """The pairs of keywords that a schema holds, beside each other or one inside the other."""
    found: set[Focus] = set()
    names = _ORDER
    for part in subschemas(schema):
        mine = sorted((keyword for keyword in part if keyword in names), key=names.__getitem__)
        found.update(Focus(a, b, False) for i, a in enumerate(mine) for b in mine[i + 1 :])
        for keyword in mine:
            if keyword in APPLICATORS:
                for child in children({keyword: part[keyword]}):
                    if isinstance(child, dict):
                        found.update(Focus(keyword, inner, True) for inner in child if inner in names)
    return found


_ORDER = {name: index for index, name in enumerate(dict.fromkeys(k for d in DRAFTS for k in d.keywords))}


def _name(error: UnsupportedSchemaError | LimitExceededError) -> str:
    if isinstance(error, UnsupportedSchemaError):
        return error.keyword
    return f"LimitExceededError: {str(error).split(' (limit')[0]}"
