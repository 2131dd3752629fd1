"""Texts as serving engines follow them, against lists of the texts that a grammar has."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest
from grammar_engine.compiler.compiled import GrammarCompiler
from grammar_engine.compiler.vocabulary import Vocabulary

from grammar_engine.bitmask import allocate_token_bitmask
from grammar_engine.errors import InvalidArgumentError, InvalidSchemaError, LimitExceededError, UnsupportedGrammarError
from grammar_engine.integrations.compilers import CompilerPool
from grammar_engine.integrations.constraints import compile_constraint
from grammar_engine.integrations.served_matcher import ServedMatcher

TOKENS = [b"a", b"b", b"c", b"ab", b"bc", b"abc", b"ca", b",", b"c,", None, None, None]
END, OTHER_END, CONTROL = 9, 10, 11
TEXTS = ["abc", "abca", "b", "ab,c", "a,b,c"]


@pytest.fixture(scope="module")
def compiler() -> GrammarCompiler:
    return GrammarCompiler(Vocabulary(TOKENS, stop_token_ids=[END, OTHER_END]), cache_dir="", prepare=False)


def allowed_by_list(text: bytes, stops: set[int], *, ended: bool) -> set[int]:
    """Brute force: which tokens lead on to one of TEXTS."""
    if ended:
        return stops
    texts = [known.encode() for known in TEXTS]
    found = {
        number
        for number, token in enumerate(TOKENS)
        if token and number not in stops and any(known.startswith(text + token) for known in texts)
    }
    return found | (stops if text in texts else set())


def allowed_by_mask(served: ServedMatcher) -> set[int]:
    bitmask = allocate_token_bitmask(2, len(TOKENS))
    served.fill(bitmask, 1)
    bits = np.unpackbits(bitmask[1:].view(np.uint8), bitorder="little")
    assert (bitmask[0] == -1).all()
    return set(np.flatnonzero(bits).tolist())


@pytest.mark.parametrize("stops", [{END, OTHER_END}, {END}, {OTHER_END}, {CONTROL}, {END, 7}, {4}])
def test_random_walks_with_drafts_equal_brute_force(compiler: GrammarCompiler, stops: set[int]) -> None:
    compiled = compiler.compile_choices(TEXTS)
    rng = random.Random(len(stops))
    ends = 0
    for _ in range(150):
        served = ServedMatcher(compiled, stops)
        history: list[int] = []
        for _ in range(12):
            text = b"".join(TOKENS[i] or b"" for i in history if i not in stops)
            expected = allowed_by_list(text, stops, ended=bool(stops & set(history)))
            if not expected:  # the request's own stop tokens have taken away the only way on
                assert allowed_by_mask(served) == stops
                assert served.failure is not None
                assert not any(served.accept(i) for i in stops)
                assert served.failure is None
                break
            assert allowed_by_mask(served) == expected
            assert served.is_terminated() == bool(stops & set(history))
            token = rng.choice([*expected, rng.randrange(-2, len(TOKENS) + 2)])
            assert served.accept(token) == (token in expected)
            if token in expected:
                history.append(token)
            if rng.random() < 0.3:
                back = rng.randint(0, len(history))
                served.rollback(back)
                del history[len(history) - back :]
            assert served.num_tokens == len(history)
        ends += served.is_terminated()
    assert ends > 5


def test_validation_stops_behind_the_end_and_changes_nothing(compiler: GrammarCompiler) -> None:
    served = ServedMatcher(compiler.compile_choices(TEXTS), {END})
    assert served.validate([3, 2, END, END]) == 3
    assert served.validate([3, 2, OTHER_END]) == 2
    assert served.validate([0, 0]) == 1
    assert served.validate([0, -1, 1]) == 1
    assert served.num_tokens == 0
    assert served.accept_all([3, 2, END])
    assert served.validate([END]) == 0
    assert not served.accept_all([END, END, 0])
    assert served.num_tokens == 3


def test_rolling_back_too_far_is_an_error_and_changes_nothing(compiler: GrammarCompiler) -> None:
    served = ServedMatcher(compiler.compile_choices(TEXTS))
    assert served.accept_all([1, END])
    with pytest.raises(ValueError, match="cannot take back 3 tokens of 2"):
        served.rollback(3)
    assert served.is_terminated()
    served.reset()
    assert served.num_tokens == 0
    assert not served.fork().is_terminated()


def test_without_a_stop_token_there_is_no_end(compiler: GrammarCompiler) -> None:
    with pytest.raises(InvalidArgumentError, match="a token to end with"):
        ServedMatcher(compiler.compile_choices(TEXTS), [])


def test_a_text_that_the_vocabulary_cannot_spell_stops_with_an_error(compiler: GrammarCompiler) -> None:
    served = ServedMatcher(compiler.compile_choices(["ax"]))
    assert served.accept(0)
    assert allowed_by_mask(served) == {END, OTHER_END}
    assert "no token of the vocabulary spells" in str(served.failure)
    assert not served.accept(END)


def test_a_limit_met_in_the_midst_of_a_text_stops_with_an_error(
    compiler: GrammarCompiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    from grammar_engine.matcher import Matcher

    def fail(*_: Any) -> bool:
        raise LimitExceededError("too much", limit="1", given=2)

    served = ServedMatcher(compiler.compile_choices(TEXTS))
    assert served.accept(0)
    with monkeypatch.context() as patched:
        patched.setattr(Matcher, "fill_next_token_bitmask", fail)
        patched.setattr(Matcher, "accept_token", fail)
        assert allowed_by_mask(served) == {END, OTHER_END}
        assert isinstance(served.failure, LimitExceededError)
        assert not served.accept(1)
        assert not served.accept_all([1])
        assert isinstance(served.failure, LimitExceededError)
        assert served.num_tokens == 1
    assert served.accept(1)
    assert served.failure is None


def test_constraints_by_kind(compiler: GrammarCompiler) -> None:
    for kind, spec in (
        ("regex", "abc"),
        ("choice", '["abc", "abc"]'),
        ("grammar", 'start: "abc"'),
        ("grammar", 'root ::= "abc"'),
    ):
        served = ServedMatcher(compile_constraint(compiler, kind, spec))  # type: ignore[arg-type]
        assert served.accept_all([5, END])
    bytes_compiler = GrammarCompiler(Vocabulary([bytes([i]) for i in range(256)] + [None], stop_token_ids=[256]))
    for kind, spec, text in (("json", "true", b'["a", 1]'), ("json_object", "", b'{"a": 1}')):
        served = ServedMatcher(compile_constraint(bytes_compiler, kind, spec))  # type: ignore[arg-type]
        assert served.accept_all([*text, 256])
        compact = compile_constraint(bytes_compiler, kind, spec, layout={"separators": (",", ":")})  # type: ignore[arg-type]
        assert not ServedMatcher(compact).accept_all([*text, 256])
        assert ServedMatcher(compact).accept_all([*text.replace(b" ", b""), 256])


@pytest.mark.parametrize(
    ("kind", "spec", "error", "message"),
    [
        ("choice", '"abc"', InvalidSchemaError, "a list of one or more strings"),
        ("choice", "[]", InvalidSchemaError, "a list of one or more strings"),
        ("choice", "[1]", InvalidSchemaError, "a list of one or more strings"),
        ("choice", "[", InvalidSchemaError, "is not JSON"),
        ("grammar", "/etc/passwd.lark", UnsupportedGrammarError, "the path of a grammar"),
        ("grammar", "secret.gbnf", UnsupportedGrammarError, "the path of a grammar"),
        ("grammar", "start: x\n%import .secret (x)\n", UnsupportedGrammarError, "%import of a file"),
        ("structural_tag", "[", InvalidSchemaError, "is not JSON"),
        ("structural_tag", "[]", InvalidSchemaError, "expected an object"),
    ],
)
def test_requests_that_are_refused(
    compiler: GrammarCompiler, kind: Any, spec: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        compile_constraint(compiler, kind, spec)


def test_a_stop_token_that_a_structural_tag_names_is_text_there_and_an_end_elsewhere() -> None:
    tokens: list[bytes | None] = [b"a", b"(", b")", b"1", None, None]
    vocabulary = Vocabulary(tokens, stop_token_ids=[4, 5], special_tokens={"<end>": 4, "<eos>": 5})
    tags = [{"type": "tag", "begin": "(", "content": {"type": "regex", "pattern": "1+"}, "end": "<end>"}]
    tag = {"type": "structural_tag", "format": {"type": "triggered_tags", "triggers": ["("], "tags": tags}}
    compiler = GrammarCompiler(vocabulary, cache_dir="", prepare=False)
    compiled = compile_constraint(compiler, "structural_tag", json.dumps(tag))
    for stops in ({4}, {4, 5}, {5}, None):
        served = ServedMatcher(compiled, stops)
        ends = {4, 5} if stops is None else stops
        assert served.accept(0)
        assert _ids(served, 6) == {0, 1, 2, 3} | ends
        assert served.accept_all([1, 3])
        assert _ids(served, 6) == {3, 4}
        assert served.accept(4)
        assert served.is_terminated() == (4 in ends)  # else the host goes on, and so does free text
        assert _ids(served, 6) == (ends if 4 in ends else {0, 1, 2, 3, 5})
        served.rollback(3)
        assert not served.is_terminated()
        for end in ends:
            assert served.accept(end)
            assert served.is_terminated()
            served.rollback(1)


def _ids(served: ServedMatcher, size: int) -> set[int]:
    bitmask = allocate_token_bitmask(1, size)
    served.fill(bitmask, 0)
    return set(np.flatnonzero(np.unpackbits(bitmask.view(np.uint8), bitorder="little")).tolist())


def test_tokenizers_with_equal_vocabularies_share_a_compiler(tiny_pair: tuple[Any, Any]) -> None:
    import copy

    pool = CompilerPool()
    _, tokenizer = tiny_pair
    first = pool.get(tokenizer, 512)
    assert pool.get(tokenizer, 512) is first
    assert pool.get(copy.deepcopy(tokenizer), 512) is first
    assert pool.get(tokenizer) is not first
    assert first.vocabulary.size == 512
