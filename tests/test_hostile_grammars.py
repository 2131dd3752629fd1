"""Grammars made to break things: a compiled grammar or an error of ours within seconds, and masks that answer."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from grammar_engine.compiler.compiled import GrammarCompiler
from grammar_engine.compiler.errors import GrammarEngineError
from grammar_engine.compiler.vocabulary import Vocabulary

from grammar_engine.inspection.linting import lint
from grammar_engine.matcher import Matcher

ROOT = Path(__file__).resolve().parent
MEBIBYTES = 200  # beyond what a process has that has compiled something small (docs/limits.md); measured: 60
SECONDS = 20  # of processor time, on a slow and busy machine; each takes a fraction of it on an idle one


def chain(count: int, rule: Callable[[int], str], last: str) -> str:
    """count rules of which each names the next one."""
    return "\n".join([rule(number) for number in range(count)] + [last])


LARK = {
    "exponential templates": "start: t30\n"
    + "\n".join(f"t{n}: p{{t{n - 1}, t{n - 1}}}" for n in range(1, 31))
    + '\nt0: "a"\np{x, y}: x y',
    "templates in templates": "start: a{a{a{a{a{a{b}}}}}}\na{x}: x | a2{x, x}\na2{x, y}: x y | y x\n" + 'b: "b"',
    "10,000 rules in a chain": "start: r0\n" + chain(10_000, lambda n: f'r{n}: r{n + 1} "x"', 'r10000: "y"'),
    "3,000 rules in a chain, to the right": "start: r0\n" + chain(3_000, lambda n: f'r{n}: "x" r{n + 1}', 'r3000: "y"'),
    "10,000 alternatives": "start: " + " | ".join(f'"w{n}"' for n in range(10_000)),
    "4,000 rules side by side": "start: "
    + " | ".join(f"r{n}" for n in range(4_000))
    + "\n"
    + "\n".join(f'r{n}: "k{n}" "x"' for n in range(4_000)),
    "2,000 terminals": "start: "
    + " | ".join(f"T{n}" for n in range(2000))
    + "\n"
    + "\n".join(f"T{n}: /k{n}[a-z]+/" for n in range(2000)),
    "hidden left recursion": 'start: n start "a" | "b"\nn: | "x"',
    "ε-cycles": 'start: a "x"\na: b c |\nb: c a |\nc: a b |',
    "cycles": 'start: a\na: b | "x"\nb: c\nc: a | "y"',
    "nullable everything": "start: "
    + " ".join(f"r{n}" for n in range(60))
    + "\n"
    + "\n".join(f'r{n}: "a"? r{(n + 1) % 60}? "b"?' for n in range(60)),
    "most ambiguous": 'start: start start | start start start | "a" |',
    "optional parts": "start: " + " ".join(f'["x{n}"]' for n in range(14)),
    "many optional parts": "start: " + " ".join(f'"x{n}"?' for n in range(40)),
    "deep nesting": "start: " + "(" * 500 + '"a"' + ")" * 500,
    "very deep nesting": "start: " + "(" * 20_000 + '"a"' + ")" * 20_000,
    "nested loops": "start: " + "(" * 40 + '"a"' + "*)+" * 20 + ")*" * 20,
    "large counts": 'start: "a"~1000..100000',
    "nested counts": "start: ((((a~50)~50)~50)~50)~50\n" + 'a: "a"',
    "large counts in a terminal": "start: A\nA: /((a{1,100}){1,100}){1,100}/",
    "a catastrophic pattern": "start: A\nA: /(a|aa)+(a+)+b(.*)*c/",
    "look-aheads": "start: A\nA: /(?=(a|b)*a(a|b){20})(?!.*b.{15}a)[ab]{5,}/",
    "parentheses in a pattern": "start: A\nA: /" + "(" * 3000 + "a" + ")" * 3000 + "/",
    "an empty language": 'start: "a" start',
    "no rule": "",
    "only itself": "start: start",
    "undefined": "start: nowhere",
    "an import of itself": "%import .nowhere.x\nstart: x",
    "an endless string": 'start: "a',
    "a half surrogate": 'start: "\\ud800"',
    "zero": 'start: "\\x00" /[\\x00-\\x1f]/',
}

GBNF = {
    "10,000 rules in a chain": chain(
        10_000, lambda n: f'{"root" if n == 0 else f"r{n}"} ::= r{n + 1} "x"', 'r10000 ::= "y"'
    ),
    "3,000 rules to the right": chain(
        3_000, lambda n: f'{"root" if n == 0 else f"r{n}"} ::= "x" r{n + 1}', 'r3000 ::= "y"'
    ),
    "10,000 alternatives": "root ::= " + " | ".join(f'"w{n}"' for n in range(10_000)),
    "shared twice, 40 levels": chain(
        40, lambda n: f"{'root' if n == 0 else f'r{n}'} ::= r{n + 1} r{n + 1}", 'r40 ::= "a"?'
    ),
    "hidden left recursion": 'root ::= n root "a" | "b"\nn ::= "" | "x"',
    "ε-cycles": 'root ::= a "x"\na ::= b c | ""\nb ::= c a | ""\nc ::= a b | ""',
    "nullable everything": "\n".join(f'{"root" if n == 0 else f"r{n}"} ::= "a"? r{n + 1}? "b"?' for n in range(60))
    + "\nr60 ::= root?",
    "most ambiguous": 'root ::= root root | root root root | "a" | ""',
    "nested loops": "root ::= " + "(" * 40 + '"a"' + "*)+" * 20 + ")*" * 20,
    "large counts": 'root ::= ("a" | root "b"){1000,1000000}',
    "nested counts": 'root ::= ((((("a"{50}){50}){50}){50}){50}){50}',
    "deep nesting": "root ::= " + "(" * 20_000 + '"a"' + ")" * 20_000,
    "deep references": "root ::= " + "(" * 3000 + 'root? "a"' + ")" * 3000,
    "an empty language": 'root ::= "a" root',
}

PARSERS = {  # Lark's loader takes its seconds each time
    "10,000 rules in a chain": ("auto",),
    "3,000 rules in a chain, to the right": ("glr",),
    "10,000 alternatives": ("glr",),
    "4,000 rules side by side": ("auto",),
    "2,000 terminals": ("auto",),
}
CASES = [("lark", name) for name in LARK] + [("gbnf", name) for name in GBNF]


def small_compiler() -> GrammarCompiler:
    tokens = [bytes([byte]) for byte in range(256)]
    return GrammarCompiler(
        Vocabulary([*tokens, b"ab", b"xx", b"aaaa", None], stop_token_ids=[259]), cache_size=0, cache_dir=""
    )


@pytest.fixture(scope="module")
def compiler() -> GrammarCompiler:
    return small_compiler()


def compile_and_walk(compiler: GrammarCompiler, kind: str, name: str) -> None:
    source = LARK[name] if kind == "lark" else GBNF[name]
    for parser in PARSERS.get(name, ("auto", "glr")) if kind == "lark" else ("",):
        try:
            if kind == "lark":
                compiled = compiler.compile_lark(source + "\n", parser=parser)
            else:
                compiled = compiler.compile_gbnf(source + "\n")
            matcher = Matcher(compiled)
            for _ in range(6):
                allowed = matcher.allowed_token_ids()
                assert len(allowed) or matcher.is_accepting()
                if not len(allowed) or not matcher.accept_token(int(allowed[0])):
                    break
        except GrammarEngineError as error:
            named = str(error)
            assert named


@pytest.mark.timeout(100)
@pytest.mark.parametrize(("kind", "name"), CASES)
def test_a_grammar_or_an_error_of_ours(compiler: GrammarCompiler, kind: str, name: str) -> None:
    began = time.process_time()
    compile_and_walk(compiler, kind, name)
    assert time.process_time() - began < SECONDS


MEASURE = """
import resource, sys
sys.path[:0] = sys.argv[1:3]
import test_hostile_grammars as hostile
compiler = hostile.small_compiler()
hostile.compile_and_walk(compiler, "lark", "cycles")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for kind, name in hostile.CASES:
    if name in hostile.LARGE:
        hostile.compile_and_walk(compiler, kind, name)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
LARGE = (
    "10,000 rules in a chain", "4,000 rules side by side", "10,000 alternatives", "nullable everything",
    "nested counts", "large counts", "large counts in a terminal", "look-aheads", "very deep nesting",
    "exponential templates",
)  # fmt: skip


@pytest.mark.timeout(200)
def test_memory_stays_small() -> None:
    """Of a process that compiles the large ones, one after the other; the highest, in KiB, over what it began with."""
    command = [sys.executable, "-c", MEASURE, str(ROOT), str(ROOT / "support")]
    output = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert int(output.split()[-1]) < MEBIBYTES * 1024


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("kind", "name"), [case for case in CASES if not case[1].startswith(("10,000", "4,000", "3,000", "2,000"))]
)
def test_lint_ends(compiler: GrammarCompiler, kind: str, name: str) -> None:
    source = (LARK if kind == "lark" else GBNF)[name] + "\n"
    began = time.process_time()
    try:
        compiled = compiler.compile_lark(source) if kind == "lark" else compiler.compile_gbnf(source)
    except GrammarEngineError:
        return
    report = lint(source, gbnf=kind == "gbnf", start="start" if kind == "lark" else "root", compiled=compiled)
    assert report.findings or report.notes
    assert time.process_time() - began < SECONDS
