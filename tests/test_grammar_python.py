"""The shipped grammar of Python: verdicts against CPython's parser, and against Lark, which can load it too."""

from __future__ import annotations

import ast
import random
import sys
import sysconfig
import warnings
from pathlib import Path

import lark
import pytest
from corpora_verdicts import Judge
from lark.indenter import PythonIndenter

from grammar_engine import grammars

VALID = r"""
x = 1
x: int
x.y: int = yield 1
(x): int = 1
x = y = *a, b = c
(a, *b), [c.d, e[0]] = () = [] = x
x[0], (y.z) = f(), *g
((x)) += 1
x[a:b, ::2, *c, d:=1] @= y
del (a, b), [c], d.e, f[0],
a if b else lambda x, /, y=1, *z, w, **v: x
not a in b, a not in b, a is not b, -a ** -b, ~a
await x ** 2 + await f()
f(a, *b, c=1, *d, **e, f=2)
f(x for x in y if z if w for a, in b async for c in d)
f(a := 1, b)
[*a, b], {*a, b}, {**a, b: c}, {a: b for c in d}, {a for a in b}, (*a, b), (yield)
[x for (x, *y), z[0] in w if x or y]
{}, {1: 2,}, {1,}, (1,), [1,], ()
x = 0xFF_FF + 0b1_0 + 0o17 + 1_000.5e-1_0j + .5 + 1. + 00 + 01.5 + 0_0
'a' "b" r'\n' u"\u1234\N{DASH}" '''x'y''z''' ""
b'a' rb'\x' Rb"\"".x
f'{x}{{}}{y!r:>{w}.{p}}' F"{d["a"]}" rf'\d{x}' f"{x = }" f"{x:%Y-%m}" f'' f"\N{DASH} {x:=5}"
f'''{
x  # comment
}'''
if 1: pass
if a:
    b
elif (c := d):
    e; f;
else:
  while x: break
for x, in y: continue
for a.b, *c in *d, e:
    pass
else:
    pass
try:
    x
except A as e:
    y
except (B, C): z
except: w
else: v
finally: u
try: x
except* A: y
try: x
finally: y
with a, b as c, d as (e, *f): pass
with (a, b): pass
with (a as b, c,): pass
with (a, b) as c, d: pass
with (a): pass
with (yield x): pass
with (a).b as c: pass
async def f(): pass
async with a: pass
async for a in b: pass
def f(a, b: int = 1, /, c=2, *d: *e, f, g=1, **h) -> i: return *a, b
def f(*, a): pass
def f(a, /): global b, c
def f[T: int, *Ts, **P](): nonlocal a
class A: pass
class A[T = int](B, C, metaclass=D): x = 1
@a.b
@(c := d)
class E: pass
type X[T] = int
type = type(type)
match = match[0] + match(x).y
match(x, y=1)[2].z = 3
match[0]: int = 1
match * x
match, case = case, match
match.case.type
match (x):
    case 1 | -2 | 3 + 4j | "a" "b" | None: pass
    case a.b | [c, *_] | (d, e,) | {"f": g, **h} | I(j, k=l) as m if n: pass
    case *a, b: pass
match x, *y:
    case ((a)): pass
match -x:
    case _: pass
match not x:
    case match: pass
match *a, b:
    case case(): pass
match {}:
    case []: pass
    case {}: pass
import a.b as c, d
from . import a
from ...b.c import (d as e, f,)
from . .. a import *
raise
raise a from b
assert a, b
return
return *a, b
x = yield from y
print(a); x = 1 ;
*a
a = 1 if b else 2, 3
a < b == c >= d != e
(a
 + b)
x = \
  1
""".strip("\n")
INVALID = r"""
x = = 1
f() = 1
x + 1 = 2
None = 1
(a, b) += 1
(a, b): int
[a] += 1
x = y := 1
(*a)
f(a=1, b)
f(**a, *b)
f(**a, b)
f(a.b=1)
f(x for x in y, 1)
def f(a=1, b): pass
def f(a, /, b, /): pass
def f(*): pass
def f(*, **a): pass
def f(**a, b): pass
def f(*a, *b): pass
lambda (a): b
for f() in x: pass
for a in b
with a as f(): pass
with (a as b), c: pass
del f()
del a + b
import a,
from a import b,
from a import (b
if x:
if x: if y: z
else: x
try: x
try: x\nexcept: y\nexcept* A: z
while x = 1: pass
class A() pass
x = if
a iffy
1 iny
not
a not b
a not
-not a
a + not b
a or lambda
await -x
return = 1
'a' b'b'
b'é'
'abc
'\x1'
f'{'
f'{}'
f'{a!x}'
f'{a'
f'}'
01
1__0
0xg
1_
x..y
x.1
a b
a ? b
$
)
(]
{a: b, c}
{**a for a in b}
[*a for a in b]
(a, b for a in b)
print a
exec 'x'
`x`
a <> b
match x: pass
match x:\n    pass
match x:\n    case a b: pass
match x:\n    case A(b=c, d): pass
if x:\ny
if x:\n    y\n  z
 x = 1
x\n    y
def f():
async x
async lambda: x
x = *
yield = 1
global
global a.b
nonlocal a =
assert
raise from a
type X
type X[T = int = 2] = 1
@a
a: b: c
a[]
a[b=c]
x = 1 y = 2
pass x
break 1
\\
""".strip("\n")


def statements(text: str) -> list[str]:
    """Cut before each line that is no continuation of the one before."""
    parts: list[str] = []
    for line in text.split("\n"):
        goes_on = line.startswith((" ", "elif", "else:", "except", "finally", "}", "x  #")) or (
            parts and parts[-1].split("\n")[-1].startswith("@")
        )
        if parts and goes_on:
            parts[-1] += "\n" + line
        else:
            parts.append(line)
    return parts


def cpython_accepts(text: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(text)
        except SyntaxError:
            return False
    return True


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge("python")


@pytest.fixture(scope="module")
def oracle() -> lark.Lark:
    return lark.Lark(grammars.source("python"), parser="lalr", postlex=PythonIndenter())


def lark_accepts(oracle: lark.Lark, text: str) -> bool:
    try:
        oracle.parse(text)
    except (lark.exceptions.LarkError, AssertionError):  # the Indenter asserts that brackets match
        return False
    return True


INVALID_TEXTS = [text.replace("\\n", "\n") for text in INVALID.split("\n")]


def test_constructs(judge: Judge) -> None:
    """CPython's verdict where its version knows the construct; what is newer is in the list of valid ones anyway."""
    for text in statements(VALID):
        accepted, alive = judge.accepted(text.encode())
        assert alive, (text, judge.refused_at(text.encode()))
        assert accepted, text
        assert judge.accepted(text.encode() + b"\n") == (True, True), text
        if sys.version_info >= (3, 13):
            assert cpython_accepts(text), text


def test_mistakes(judge: Judge) -> None:
    for text in INVALID_TEXTS:
        assert not cpython_accepts(text), text
        assert not judge.accepted(text.encode())[0], text
        assert not judge.accepted(text.encode() + b"\n")[0], text


def mutated(text: str, rng: random.Random) -> str:
    pieces = [" ", "\n", "\n    ", "(", ")", ":", "in", "f'", '"', "{", "#", "1", "match", "=", ",", ".", "not"]
    at = rng.randrange(len(text) + 1)
    return text[:at] + rng.choice(["", *pieces]) + text[at + rng.randrange(3) :]


def test_lark_says_the_same(judge: Judge, oracle: lark.Lark) -> None:
    """Over statements, small files of the standard library, and what is left of both after changes."""
    rng = random.Random(4)
    texts = [*statements(VALID), *INVALID_TEXTS]
    folder = Path(sysconfig.get_paths()["stdlib"])
    files = [path for path in sorted(folder.glob("*.py")) if path.stat().st_size < 6000]
    texts += [path.read_text(encoding="utf-8") for path in rng.sample(files, 12)]
    texts += [mutated(text, rng) for text in texts for _ in range(3)]
    verdicts = {True: 0, False: 0}
    for text in texts:
        expected = lark_accepts(oracle, text)
        assert judge.accepted(text.encode())[0] == expected, text
        verdicts[expected] += 1
    assert min(verdicts.values()) > 100


def test_fragments() -> None:
    for start, good, bad in (
        ("statement", b"if x:\n    y\nelse:\n    z", b"x\ny"),
        ("expressions", b"a, *b", b"a = b"),
        ("expression", b"f'{x}' if a else (b :=\n 1)", b"a, b"),
        ("pattern", b"[A(b=1), *_] | None", b"a + b"),
        ("arguments", b"a, *b, c=1", b"c=1, a"),
    ):
        judge = Judge("python", start=start)
        assert judge.accepted(good) == (True, True), start
        assert not judge.accepted(bad)[0], start
