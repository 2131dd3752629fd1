"""Canvases against plain ones, which try every token at every position of a matcher: checks, masks, completions."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from canvas_languages import LANGUAGES, LETTER_TOKENS, SIGN_TOKENS, Language, lark
from grammar_engine.compiler.canvas import automaton, lexemes
from plain_canvas import PlainCanvas

from grammar_engine import GrammarCompiler, Matcher, Vocabulary
from grammar_engine.diffusion import Canvas
from grammar_engine.errors import (
    InvalidArgumentError,
    LimitExceededError,
    UnsatisfiableGrammarError,
    UnsupportedGrammarError,
)

CANVASES = 24


@pytest.fixture(params=list(LANGUAGES), scope="module")
def language(request: pytest.FixtureRequest) -> Language:
    return LANGUAGES[request.param]()


def test_checks_and_masks(language: Language) -> None:
    """(More canvases: ``python benchmarks/canvas_exactness.py``.)"""
    verdicts = Counter[bool]()
    for ids in language.canvases(CANVASES, 1):
        plain, canvas = (kind(language.compiled, ids, **language.options) for kind in (PlainCanvas, Canvas))
        verdicts[plain.is_completable()] += 1
        assert canvas.is_completable() == plain.is_completable(), ids
        for slot in range(len(ids)):
            assert np.array_equal(canvas.allowed(slot), plain.allowed(slot)), (ids, slot)
        assert canvas.token_ids == ids
    assert min(verdicts.values()) > 0


def test_completions(language: Language) -> None:
    """The best filling has the probability of the best, the mass is that of all, and both fill in texts."""
    for number, ids in enumerate(language.canvases(CANVASES // 2, 2, completable=True)):
        plain, canvas = (kind(language.compiled, ids, **language.options) for kind in (PlainCanvas, Canvas))
        rng = np.random.default_rng(number)
        logps = np.log(rng.dirichlet(np.full(language.compiled.vocabulary.size, 0.5), size=len(ids)))
        best, logp = canvas.best_completion(logps)
        assert logp == pytest.approx(plain.best_completion(logps)[1])
        drawn, log_weight = canvas.sample(logps, rng)
        assert log_weight == pytest.approx(plain.sample(logps, rng)[1])
        for filling in (best, drawn):
            assert [t for t, held in zip(filling, ids, strict=True) if held != language.options["mask_token_id"]] == [
                t for t in ids if t != language.options["mask_token_id"]
            ]
            assert PlainCanvas(language.compiled, filling, **language.options).is_completable()


def test_commits_step_by_step(language: Language) -> None:
    """Random commits, one or two at a time: what is refused changes nothing, and a filled canvas is a text."""
    mask = language.options["mask_token_id"]
    rng = np.random.default_rng(5)
    for ids in language.canvases(4, 3, completable=True):
        plain, canvas = (kind(language.compiled, ids, **language.options) for kind in (PlainCanvas, Canvas))
        while canvas.open_slots:
            slots = rng.permutation(canvas.open_slots)[: int(rng.integers(1, 3))].tolist()
            tokens = [int(t) for t in rng.integers(len(language.tokens) + 1, size=len(slots))]
            if rng.random() < 0.7:
                tokens[0] = int(rng.choice(_bits(canvas.allowed(slots[0]))))
            commits = [(slot, token) for slot, token in zip(slots, tokens, strict=True) if token != mask]
            before = canvas.token_ids
            assert canvas.commit(commits) == plain.commit(commits)
            assert canvas.token_ids == plain.token_ids
            assert canvas.is_completable()
            assert canvas.token_ids == before or len(canvas.open_slots) < before.count(mask)
        matcher = Matcher(language.compiled)
        for token in canvas.token_ids:
            if token in language.compiled.vocabulary.stop_token_ids:
                break
            assert matcher.accept_token(token)
        assert matcher.is_accepting()


def _bits(row: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.unpackbits(row.view(np.uint8), bitorder="little"))


@pytest.fixture(scope="module")
def signs() -> Language:
    return LANGUAGES["arithmetic"]()


def test_draws_are_exact(signs: Language) -> None:
    """Frequencies against all fillings of a plain canvas, and weights where there are more places than asked for."""
    mask = signs.options["mask_token_id"]
    ids = [mask, SIGN_TOKENS.index(b"+"), mask, mask]
    rng = np.random.default_rng(0)
    size = signs.compiled.vocabulary.size
    logps = np.log(rng.dirichlet(np.full(size, 1.0), size=len(ids)))
    plain = PlainCanvas(signs.compiled, ids, **signs.options)
    fillings = list(plain.fillings())
    p = np.array([math.exp(sum(logps[s, f[s]] for s in range(4) if ids[s] == mask)) for f in fillings])
    index = {tuple(filling): number for number, filling in enumerate(fillings)}
    canvas = Canvas(signs.compiled, ids, **signs.options)
    count = 1500
    drawn = [canvas.sample(logps, rng) for _ in range(count)]
    assert all(math.exp(weight) == pytest.approx(p.sum()) for _, weight in drawn)
    seen = np.bincount([index[tuple(filling)] for filling, _ in drawn], minlength=len(fillings))
    expected = count * p / p.sum()
    often = expected >= 5
    square = float(((seen - expected)[often] ** 2 / expected[often]).sum())
    freedom = int(often.sum()) - 1
    # Wilson and Hilferty's quantile of chi-square, at 99.99 %.
    assert square < freedom * (1 - 2 / (9 * freedom) + 3.72 * math.sqrt(2 / (9 * freedom))) ** 3
    weighted = np.zeros(len(fillings))
    for _ in range(count):
        filling, weight = canvas.sample(logps, rng, max_boundaries=1)
        weighted[index[tuple(filling)]] += math.exp(weight) / count
    assert weighted.sum() == pytest.approx(p.sum(), rel=0.15)
    likely = p > 0.05 * p.sum()
    assert weighted[likely] == pytest.approx(p[likely], rel=0.5)


def test_slots_are_counted(signs: Language) -> None:
    """``( ( ?`` needs a token that closes twice behind a number: one slot is too few, two will do."""
    mask = signs.options["mask_token_id"]
    opening = SIGN_TOKENS.index(b"(")
    for left, completable in ((1, False), (2, True), (3, True)):
        canvas = Canvas(signs.compiled, [opening, opening, *[mask] * left], **signs.options)
        assert canvas.is_completable() == completable
    tight = Canvas(signs.compiled, [opening, opening, mask, mask], **signs.options)
    assert {SIGN_TOKENS[t] for t in _bits(tight.allowed(3))} == {b"))"}


def test_batches_are_checked_together(signs: Language) -> None:
    """Each of two tokens may stand, both may not: nothing of the batch is kept."""
    mask = signs.options["mask_token_id"]
    one, opening = SIGN_TOKENS.index(b"1"), SIGN_TOKENS.index(b"(")
    canvas = Canvas(signs.compiled, [mask, mask, mask], **signs.options)
    for commit in ((0, one), (1, opening)):
        assert Canvas(signs.compiled, [mask] * 3, **signs.options).commit([commit]) == (commit[0] == 0)
    plus = SIGN_TOKENS.index(b"+")
    assert canvas.commit([(0, opening)])
    assert not canvas.commit([(1, plus)])
    assert not canvas.commit([(1, one), (2, one)])
    assert canvas.token_ids == [opening, mask, mask]
    assert canvas.commit([(1, one), (2, SIGN_TOKENS.index(b")"))])


def test_errors(signs: Language) -> None:
    options = signs.options
    mask = options["mask_token_id"]
    for given, named in (([], "token_ids"), ([mask, 99], "token_ids")):
        with pytest.raises(InvalidArgumentError, match=named):
            Canvas(signs.compiled, given, **options)
    for wrong in ({"mask_token_id": 0}, {"mask_token_id": 99}, {"pad_token_id": mask}):
        with pytest.raises(InvalidArgumentError):
            Canvas(signs.compiled, [mask], **{**options, **wrong})
    canvas = Canvas(signs.compiled, [mask] * 3, **options)
    for commits in ([(0, 1), (0, 1)], [(0, mask)], [(0, 99)]):
        with pytest.raises(InvalidArgumentError):
            canvas.commit(commits)
    with pytest.raises(IndexError):
        canvas.commit([(3, 0)])
    with pytest.raises(IndexError):
        canvas.allowed(-1)
    assert canvas.commit([(0, SIGN_TOKENS.index(b"1"))])
    with pytest.raises(InvalidArgumentError, match="not open"):
        canvas.commit([(0, 1)])
    with pytest.raises(InvalidArgumentError, match="logps"):
        canvas.best_completion(np.zeros((2, 2)))
    logps = np.zeros((3, signs.compiled.vocabulary.size))
    with pytest.raises(LimitExceededError, match="max_boundaries 1"):
        Canvas(signs.compiled, [mask] * 3, **options).best_completion(logps, max_boundaries=1)
    with pytest.raises(UnsatisfiableGrammarError):
        canvas.best_completion(np.full_like(logps, -np.inf))
    dead = Canvas(signs.compiled, [SIGN_TOKENS.index(b")"), mask], **options)
    with pytest.raises(UnsatisfiableGrammarError):
        dead.sample(logps[:2], np.random.default_rng(0))


def test_a_contextual_lexer_without_a_table_is_refused() -> None:
    """What it tries depends on all parses of a text at once, and canvases hold those of many texts together."""
    source = 'start: x A | y B\nx: "a"\ny: "a"\nA: /b+/\nB: "bb"\n'
    compiled = Language(LETTER_TOKENS, lark(source, parser="glr"), 3).compiled
    with pytest.raises(UnsupportedGrammarError, match="contextual lexer"):
        Canvas(compiled, [10], mask_token_id=10)


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many lexer states or bytes are errors; an automaton that is large is left to older canvases."""
    language = LANGUAGES["JSON"]()
    compiled, options = language.compiled, language.options
    ids = [options["mask_token_id"]] * 4
    older = Canvas(compiled, ids, **options)
    allowed = older.allowed(1)
    known = compiled.canvas_automaton()
    monkeypatch.setattr(automaton, "RENEWED_FROM", 0)
    assert compiled.canvas_automaton() is not known
    assert compiled.canvas_automaton().lexemes is known.lexemes
    monkeypatch.setattr(lexemes, "RENEWED_FROM_CROSSINGS", 0)
    assert compiled.canvas_automaton().lexemes is not known.lexemes
    assert np.array_equal(Canvas(compiled, ids, **options).allowed(1), allowed)
    assert np.array_equal(older.allowed(1), allowed)
    with monkeypatch.context() as patched:
        patched.setattr(lexemes, "MOST_STATES", 3)
        with pytest.raises(LimitExceededError, match="3 lexer states"):
            Canvas(compiled, ids, **options).allowed(1)
    monkeypatch.setattr(automaton, "MAX_BYTES", 1 << 18)
    with pytest.raises(LimitExceededError, match="262144 bytes"):
        Canvas(compiled, ids * 8, **options).allowed(30)


def test_tags_that_name_a_stop_token_are_refused() -> None:
    """There the token is text and an end at once, which a canvas would not see."""
    vocabulary = Vocabulary(
        [b"a", None, None, None], special_tokens={"<|end|>": 1}, stop_token_ids=[1], special_token_ids=[2, 3]
    )
    made = {"type": "sequence", "elements": [{"type": "regex", "pattern": "a+"}, {"type": "token", "token": 1}]}
    tag = {"type": "structural_tag", "format": made}
    compiled = GrammarCompiler(vocabulary, cache_dir="", prepare=False).compile_structural_tag(tag)
    with pytest.raises(UnsupportedGrammarError, match="stop token"):
        Canvas(compiled, [2] * 3, mask_token_id=2, pad_token_id=3)


def test_a_draw_of_no_weight_is_a_filling_all_the_same(signs: Language) -> None:
    """Where tokens are drawn one by one and the model gives all that may stand probability 0."""
    mask = signs.options["mask_token_id"]
    canvas = Canvas(signs.compiled, [mask] * 4, **signs.options)
    logps = np.full((4, signs.compiled.vocabulary.size), -np.inf)
    drawn, log_weight = canvas.sample(logps, np.random.default_rng(0), max_boundaries=1)
    assert log_weight == -math.inf
    assert PlainCanvas(signs.compiled, drawn, **signs.options).is_completable()
    assert len(drawn) == 4


def test_names_are_not_repeated() -> None:
    """Guards: what two properties of one name make of an object is refused where the tokens are known up to there."""
    language = LANGUAGES["JSON Schema, open object"]()
    tokens = list(language.tokens)
    mask = language.options["mask_token_id"]
    text = [tokens.index(t) for t in (b'{"', b"a", b'":', b"1", b",", b'"a"', b":", b"1", b"}")]
    canvas = Canvas(language.compiled, [*text[:4], *[mask] * 5], **language.options)
    assert canvas.commit([(4, text[4])])
    assert not canvas.commit([(5, text[5])])
    assert canvas.is_completable()
    assert not Canvas(language.compiled, text, **language.options).is_completable()
