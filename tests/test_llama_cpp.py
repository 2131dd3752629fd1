"""The llama-cpp-python processor in a stub of its decoding loop, which counts as ``Llama.generate`` does (0.3.36)."""

from __future__ import annotations

import ctypes
import random
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from grammar_engine.compiler.compiled import CompiledGrammar, GrammarCompiler
from grammar_engine.compiler.vocabulary import Vocabulary

from grammar_engine.errors import (
    InvalidArgumentError,
    MissingDependencyError,
    TokenizerError,
    UnsatisfiableGrammarError,
)
from grammar_engine.integrations.llama_cpp import GrammarLogitsProcessor, vocabulary_of

TOKENS = [b"a", b"b", b"c", b"ab", b"bc", b"abc", b"ca", b",", b"c,", "é".encode(), b"\xc3", None, None]
END = 11
TEXTS = ["abc", "abca", "b", "ab,c", "a,b,c"]


@pytest.fixture(scope="module")
def compiled() -> CompiledGrammar:
    vocabulary = Vocabulary(TOKENS, stop_token_ids=[END])
    return GrammarCompiler(vocabulary, cache_dir="", prepare=False).compile_choices(TEXTS)


def expected_ids(tokens: list[int]) -> set[int]:
    text = b"".join(TOKENS[i] or b"" for i in tokens)
    texts = [known.encode() for known in TEXTS]
    found = {i for i, token in enumerate(TOKENS) if token and any(known.startswith(text + token) for known in texts)}
    return found | ({END} if text in texts else set())


class Llama:
    """The loop of ``Llama.generate``: evaluates, samples at each position, keeps drafts that agree.

    The processor is shown all ids that were evaluated and float32 scores inside of records, as the real one is.
    """

    def __init__(self, rng: random.Random, draft: Callable[[list[int]], list[int]] | None = None) -> None:
        self.rng = rng
        self.draft = draft
        self.input_ids = np.zeros(200, np.intc)
        self.n_tokens = 0
        self.seen: list[tuple[list[int], set[int]]] = []

    def sample(self, processor: Any, prompt: int, output: list[int]) -> int:
        records = np.zeros(len(TOKENS), np.dtype([("id", np.intc), ("logit", np.single), ("p", np.single)], align=True))
        records["logit"] = [self.rng.random() for _ in TOKENS]
        before = records["logit"].copy()
        masked = processor(self.input_ids[: self.n_tokens], records["logit"])
        assert masked.dtype == np.single
        assert (records["logit"] == before).all()
        allowed = set(np.flatnonzero(np.isfinite(masked)).tolist())
        assert allowed == expected_ids(output), (self.input_ids[prompt : self.n_tokens], output)
        assert all(masked[i] == before[i] for i in allowed)
        return int(np.argmax(masked))

    def generate(self, processor: Any, prompt: list[int], limit: int = 30) -> list[int]:
        tokens, self.n_tokens = list(prompt), 0
        place = len(prompt) - 1
        output: list[int] = []
        while True:
            self.input_ids[self.n_tokens : self.n_tokens + len(tokens)] = tokens
            self.n_tokens += len(tokens)
            while place < self.n_tokens:
                token = self.sample(processor, len(prompt), output)
                place += 1
                if token == END or len(output) == limit:
                    return output
                output.append(token)
                tokens = [token]
                if place < self.n_tokens and token != self.input_ids[place]:
                    self.n_tokens = place
                    break
            if self.draft is not None:
                # What agreed has been evaluated already.
                if place < self.n_tokens:
                    continue
                tokens = [*tokens, *self.draft([*prompt, *output])]


def spelled(output: list[int]) -> str:
    return b"".join(TOKENS[i] or b"" for i in output).decode()


def test_generations_follow_the_grammar_one_after_the_other(compiled: CompiledGrammar) -> None:
    processor = GrammarLogitsProcessor(compiled)
    rng = random.Random(0)
    for _ in range(60):
        prompt = [rng.randrange(len(TOKENS)) for _ in range(rng.randint(1, 5))]
        assert spelled(Llama(rng).generate(processor, prompt)) in TEXTS


def test_a_prompt_may_hold_the_last_prompt_and_its_whole_answer(compiled: CompiledGrammar) -> None:
    processor = GrammarLogitsProcessor(compiled)
    rng = random.Random(1)
    prompt = [0, 1]
    for _ in range(5):
        output = Llama(rng).generate(processor, prompt)
        assert spelled(output) in TEXTS
        prompt = [*prompt, *output, END, 2, 0]


@pytest.mark.parametrize("skill", [0.0, 0.5, 1.0])
def test_drafts_are_masked_at_their_own_positions(compiled: CompiledGrammar, skill: float) -> None:
    rng = random.Random(int(10 * skill))
    processor = GrammarLogitsProcessor(compiled, drafts=True)
    for _ in range(60):
        prompt = [rng.randrange(len(TOKENS)) for _ in range(rng.randint(1, 5))]

        def draft(ids: list[int], length: int = len(prompt)) -> list[int]:
            drafts: list[int] = []
            for _ in range(3):
                choices = sorted(expected_ids([*ids[length:], *drafts]) - {END})
                drafts.append(rng.choice(choices) if choices and rng.random() < skill else rng.randrange(len(TOKENS)))
            return drafts

        assert spelled(Llama(rng, draft).generate(processor, prompt)) in TEXTS


def scores() -> Any:
    return np.zeros(len(TOKENS), np.single)


def ids(*tokens: int) -> Any:
    return np.array(tokens, np.intc)


def test_longer_ids_are_either_drafts_or_another_generation(compiled: CompiledGrammar) -> None:
    processor = GrammarLogitsProcessor(compiled)
    processor(ids(7, 7), scores())
    with pytest.raises(InvalidArgumentError, match="drafts=True"):
        processor(ids(7, 7, 0, 1), scores())
    masked = processor(ids(7, 7, 0), scores())  # nothing has changed
    assert set(np.flatnonzero(np.isfinite(masked)).tolist()) == expected_ids([0])
    processor.reset()
    masked = processor(ids(7, 7, 0, 1), scores())
    assert set(np.flatnonzero(np.isfinite(masked)).tolist()) == expected_ids([])


def test_the_grammar_wins_over_processors_that_leave_nothing(compiled: CompiledGrammar) -> None:
    forbidden = np.full(len(TOKENS), -np.inf, np.single)
    masked = GrammarLogitsProcessor(compiled)(ids(7), forbidden)
    assert set(np.flatnonzero(np.isfinite(masked)).tolist()) == expected_ids([])


def test_logits_wider_than_the_vocabulary_are_masked_too(compiled: CompiledGrammar) -> None:
    masked = GrammarLogitsProcessor(compiled)(ids(7), np.zeros(64, np.single))
    assert set(np.flatnonzero(np.isfinite(masked)).tolist()) == expected_ids([])


def test_a_dead_end_is_an_error() -> None:
    vocabulary = Vocabulary([b"a", None], stop_token_ids=[1])
    grammar = GrammarCompiler(vocabulary, cache_dir="", prepare=False).compile_choices(["ax"])
    processor = GrammarLogitsProcessor(grammar)
    processor(ids(0), np.zeros(2, np.single))
    with pytest.raises(UnsatisfiableGrammarError, match="no token of the vocabulary"):
        processor(ids(0, 0), np.zeros(2, np.single))


# -- the vocabulary ---------------------------------------------------------------------------------------------------

LONG = b"x" * 300
PIECES = [b"<unk>", b"<s>", b"</s>", b" a", "é".encode(), b"\xc3", LONG, b"<user>", b"", b"<eot>"]
ATTRIBUTES = [1, 8, 8, 4, 4, 32, 4, 16, 2, 8]


def api(pieces: list[bytes]) -> types.ModuleType:
    """The functions of llama.h that the module calls."""

    def piece(_vocab: Any, token: int, buffer: Any, length: int, lstrip: int, special: bool) -> int:
        assert lstrip == 0
        data = b"" if ATTRIBUTES[token] & 8 and not special else pieces[token]
        if len(data) > length:
            return -len(data)
        ctypes.memmove(buffer, data, len(data))
        return len(data)

    module = types.ModuleType("llama_cpp")
    vars(module).update(
        llama_model_get_vocab=lambda model: model,
        llama_vocab_n_tokens=lambda _vocab: len(pieces),
        llama_vocab_is_eog=lambda _vocab, token: token in (2, 9),
        llama_vocab_get_attr=lambda _vocab, token: ATTRIBUTES[token],
        llama_token_to_piece=piece,
    )
    return module


def test_the_vocabulary_is_read_from_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llama_cpp", api(PIECES))
    vocabulary = vocabulary_of(types.SimpleNamespace(model=object()))
    assert vocabulary.tokens == (None, None, None, b" a", "é".encode(), b"\xc3", LONG, b"<user>", None, None)
    assert vocabulary.stop_token_ids == (2, 9)
    assert 1 in vocabulary.special_token_ids


def test_models_without_a_vocabulary_and_a_missing_package_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llama_cpp", api([]))
    with pytest.raises(TokenizerError, match="no vocabulary"):
        vocabulary_of(types.SimpleNamespace(model=object()))
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    with pytest.raises(MissingDependencyError, match=r"grammar-engine\[llama-cpp\]"):
        vocabulary_of(types.SimpleNamespace(model=object()))
