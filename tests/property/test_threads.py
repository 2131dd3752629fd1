"""Threads share compilers and compiled grammars: every thread sees the masks that a single one sees.

Automata, rows and caches grow while threads look at them, so each run starts with a fresh compiler.
"""

from __future__ import annotations

import itertools
import random
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from grammar_engine.compiler.compiled import CompiledGrammar, GrammarCompiler
from grammar_engine.compiler.limits import Limits
from grammar_engine.compiler.vocabulary import Vocabulary

from grammar_engine.matcher import Matcher

THREADS = 6
Compile = Callable[[GrammarCompiler], CompiledGrammar]

GRAMMARS: list[Compile] = [
    lambda c: c.compile_json_schema(
        {
            "type": "object",
            "properties": {
                "name": {"type": "string", "maxLength": 9},
                "tags": {"type": "array", "items": {"enum": ["a", "ab", "b"]}},
                "more": {"$ref": "#"},
            },
            "required": ["name"],
        }
    ),
    lambda c: c.compile_json_schema({"type": "array", "items": {"type": "string", "minLength": 2, "maxLength": 6}}),
    lambda c: c.compile_json_schema({"type": "array", "items": {"type": "string", "format": "date"}}),
    lambda c: c.compile_regex(r"(\w{2,5}[ ,]){3,40}\."),
    lambda c: c.compile_regex(r"[^a]*a[^b]*b[^c]*c.*"),
    lambda c: c.compile_lark('start: e\ne: e "+" e | "(" e ")" | /[a-z]+/ | /\\d+/\n%ignore " "', parser="earley"),
    lambda c: c.compile_lark('start: ("if" NAME | NAME "=" STR)+\nNAME: /[a-z]+/\nSTR: /"[^"]*"/\n%ignore /\\s+/'),
]


def vocabulary() -> Vocabulary:
    rng = random.Random(7)
    alphabet = b'ab c",:{}[]()+=.1if"\\-'
    tokens: list[bytes | None] = [bytes([byte]) for byte in range(256)]
    tokens += [bytes(pair) for pair in itertools.product(alphabet, repeat=2)]
    tokens += [bytes(rng.choice(alphabet) for _ in range(rng.randint(3, 8))) for _ in range(3_000)]
    return Vocabulary([*tokens, None], stop_token_ids=[len(tokens)])


VOCABULARY = vocabulary()


def masks(compiled: CompiledGrammar, seed: int) -> list[bytes]:
    """All masks on the way of a few random texts, chosen by the seed alone."""
    rng = random.Random(seed)
    seen = []
    for _ in range(8):
        matcher = Matcher(compiled)
        for _ in range(20):
            allowed = matcher.allowed_token_ids()
            seen.append(allowed.tobytes())
            fork = matcher.fork()
            if not len(allowed) or matcher.is_terminated():
                break
            token = rng.choice(allowed.tolist())
            assert matcher.accept_token(token)
            assert fork.validate_tokens([token]) == 1
    return seen


def compiler(mask_bytes: int) -> GrammarCompiler:
    return GrammarCompiler(VOCABULARY, cache_dir="", limits=Limits(mask_bytes=mask_bytes))


@pytest.fixture(autouse=True)
def _switch_often() -> Iterator[None]:
    """Let threads interrupt each other between any two bytecodes."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def together(works: list[Callable[[], object]]) -> list[object]:
    """Run all at once, from one starting line."""
    line = threading.Barrier(len(works))

    def run(work: Callable[[], object]) -> object:
        line.wait(timeout=30)
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


@pytest.mark.parametrize("mask_bytes", [64 << 20, 1], ids=["roomy", "evicting"])
@pytest.mark.parametrize("number", range(len(GRAMMARS)))
def test_threads_on_one_grammar(number: int, mask_bytes: int) -> None:
    alone = GRAMMARS[number](compiler(64 << 20))
    expected = [masks(alone, seed) for seed in range(THREADS)]
    for _ in range(2):
        shared = GRAMMARS[number](compiler(mask_bytes))
        assert together([partial(masks, shared, seed) for seed in range(THREADS)]) == expected


@pytest.mark.parametrize("round_", range(2))
def test_threads_on_the_grammars_of_one_compiler(round_: int) -> None:
    """Compiling included, so that rows pass through the common store in every direction."""
    expected = [masks(make(compiler(64 << 20)), 100 + round_) for make in GRAMMARS]
    shared = compiler(64 << 20)
    works = [lambda make=make: masks(make(shared), 100 + round_) for make in GRAMMARS]
    assert together([*works, *reversed(works)]) == [*expected, *reversed(expected)]


def test_one_grammar_compiled_by_many_threads() -> None:
    shared = compiler(64 << 20)
    expected = masks(GRAMMARS[0](compiler(64 << 20)), 5)
    found = together([lambda: masks(GRAMMARS[0](shared), 5) for _ in range(THREADS)])
    assert found == [expected] * THREADS
