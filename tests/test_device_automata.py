"""Automata on the device go where matchers go, token for token, with the same masks."""

from __future__ import annotations

import gzip
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from byte_texts import byte_compiler

torch = pytest.importorskip("torch", reason="needs the extra hf")

from grammar_engine.compiler.token_automaton import token_automaton
from grammar_engine.kernels.device import automata

import grammar_engine as ge
from grammar_engine.device import DeviceAutomaton
from grammar_engine.sampling import FusedSampler, Greedy, Sample

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "kind": {"enum": ["a", "b", "cc"]},
        "ok": {"type": "boolean"},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}
DATE = r"[0-9]{4}-(0[1-9]|1[0-2])-[0-9][0-9]"
PATTERNS = [r"\d{1,3}(,\d{3})*", DATE, r"[\w.+-]+@[a-z]+\.(com|org)", r"(?s:.*)", r"a?(bc)*|é+"]


def compare(compiled: Any, automaton: DeviceAutomaton, rng: random.Random, steps: int) -> None:
    """Random walks, one token in six of them any token; stop ids and what comes behind them too."""
    size, device = compiled.vocabulary.size, automaton.states.device
    matchers = [ge.Matcher(compiled) for _ in range(len(automaton.states))]
    wanted = ge.allocate_token_bitmask(len(matchers), size)
    for _ in range(steps):
        ge.fill_next_token_bitmask_batch(matchers, wanted)
        assert np.array_equal(automaton.masks[automaton.rows].cpu().numpy(), wanted)
        assert automaton.is_accepting().tolist() == [m.is_accepting() for m in matchers]
        assert automaton.is_terminated().tolist() == [m.is_terminated() for m in matchers]
        tokens = [
            int(rng.choice(m.allowed_token_ids())) if rng.random() < 5 / 6 else rng.randrange(size) for m in matchers
        ]
        accepted = automaton.advance(torch.tensor(tokens, device=device))
        assert accepted.tolist() == [m.accept_token(t) for m, t in zip(matchers, tokens, strict=True)]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_walks_are_those_of_matchers(pattern: str) -> None:
    compiled = byte_compiler([b"12", b"2024", b"com", b"bcb", b"\xc3", b"\xa9a", b"aa", b"@a"]).compile_regex(pattern)
    automaton = DeviceAutomaton(compiled, batch_size=4)
    for seed in range(4):
        automaton.reset()
        compare(compiled, automaton, random.Random(seed), 30)


@pytest.mark.parametrize("schema", [PERSON, {"type": "array", "items": {"enum": [1, 12, "a"]}, "uniqueItems": True}])
def test_walks_of_schemas_are_those_of_matchers(schema: dict[str, Any]) -> None:
    compiled = byte_compiler([b'{"', b'": ', b"12", b', "', b"[1,"]).compile_json_schema(schema)
    automaton = DeviceAutomaton(compiled, batch_size=4)
    for seed in range(3):
        automaton.reset()
        compare(compiled, automaton, random.Random(seed), 40)


NUMBER = {"type": "regex", "pattern": "[1-3]{1,4}"}


def tag(begin: str, end: str) -> dict[str, Any]:
    return {"type": "tag", "begin": begin, "content": NUMBER, "end": end}


@pytest.mark.parametrize(
    "elements",
    [
        [tag("f:", "<|stop|>"), tag("f:", "<|call|>!")],  # the stop token is part of the grammar, or ends the text
        [tag("f:", "<|stop|>"), tag("f:", "<|call|>!<|stop|>")],
        [NUMBER, tag("1<|stop|>", "<|call|>")],  # behind 1 it leads on, behind 2 it ends the text
    ],
)
def test_special_tokens_of_a_grammar_lead_on_or_end(elements: list[Any]) -> None:
    tokens: list[bytes | None] = [bytes([byte]) for byte in range(256)]
    names = {"<|stop|>": 256, "<|call|>": 257}
    vocabulary = ge.Vocabulary([*tokens, None, None, b"12"], stop_token_ids=[256], special_tokens=names)
    compiler = ge.GrammarCompiler(vocabulary, cache_dir="")
    compiled = compiler.compile_structural_tag(
        {"type": "structural_tag", "format": {"type": "or", "elements": elements}}
    )
    automaton = DeviceAutomaton(compiled, batch_size=8)
    for seed in range(6):
        automaton.reset()
        compare(compiled, automaton, random.Random(seed), 14)
        assert automaton.is_terminated().any()


def test_triton_advances_as_torch_does(triton_device: Any) -> None:
    compiled = byte_compiler([b"12", b"2024"]).compile_regex(PATTERNS[0])
    automaton = DeviceAutomaton(compiled, batch_size=200, device=triton_device)
    table = automaton.table
    given = [torch.from_numpy(table.transitions), torch.from_numpy(table.token_classes)]
    given.append(torch.from_numpy(table.mask_rows).long())
    generator = torch.Generator().manual_seed(1)
    states = torch.randint(0, table.num_states, (200,), generator=generator, dtype=torch.int32)
    tokens = torch.randint(-3, 262, (200, 2), generator=generator)[:, 0]
    tokens[::3] = torch.randint(48, 58, (67,), generator=generator)
    wanted = [states.clone(), torch.zeros(200, dtype=torch.int64), torch.zeros(200, dtype=torch.bool)]
    automata.advance_reference(wanted[0], tokens, *given, wanted[1], wanted[2])
    assert 10 < wanted[2].sum() < 190

    from grammar_engine.kernels.device import automata_triton

    found = [states.to(triton_device), torch.zeros_like(automaton.rows), torch.zeros_like(automaton.accepted)]
    there = [t.to(triton_device) for t in given]
    automata_triton.advance(found[0], tokens.to(triton_device), *there, found[1], found[2])
    assert all(torch.equal(a.cpu(), b) for a, b in zip(found, wanted, strict=True))


def test_masks_are_applied_and_states_restored(triton_device: Any) -> None:
    compiled = byte_compiler().compile_choices(["ab", "ac"])
    automaton = DeviceAutomaton(compiled, batch_size=2, device=triton_device)
    before = automaton.states.clone()
    a, b = torch.tensor([97, 98], device=triton_device), torch.tensor([98, 98], device=triton_device)
    assert automaton.advance(a).tolist() == [True, False]
    logits = torch.zeros(3, 260, device=triton_device)
    automaton.apply(logits, torch.tensor([2, 0], device=triton_device))
    assert logits.isfinite().nonzero().tolist() == [[0, 97], *([1, t] for t in range(260)), [2, 98], [2, 99]]
    assert automaton.advance(b).tolist() == [True, False]
    assert automaton.is_accepting().tolist() == [True, False]
    automaton.set_states(before)
    assert automaton.advance(a).tolist() == [True, False]
    with pytest.raises(ValueError, match="indices"):
        automaton.apply(logits)
    with pytest.raises(ValueError, match="tokens"):
        automaton.advance(a.int())


def test_with_a_real_vocabulary(shared_data: Path) -> None:
    import base64

    with gzip.open(shared_data / "tokenizers" / "qwen.tiktoken.gz") as lines:
        ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines if line.split())}
    tokens: list[bytes | None] = [None] * (max(ranks.values()) + 3)
    for token, rank in ranks.items():
        tokens[rank] = token
    compiler = ge.GrammarCompiler(
        ge.Vocabulary(tokens, stop_token_ids=[len(tokens) - 2, len(tokens) - 1]), cache_dir=""
    )
    for number, compiled in enumerate(
        [
            compiler.compile_json_schema(PERSON),
            compiler.compile_choices(["Paris", "Prague", "Paramaribo", "巴黎"]),
            *(compiler.compile_regex(pattern) for pattern in (PATTERNS[0], PATTERNS[2])),
        ]
    ):
        automaton = DeviceAutomaton(compiled, batch_size=6)
        assert automaton.table.transitions.shape[1] < 1000
        compare(compiled, automaton, random.Random(number), 40)


def test_texts_drawn_on_the_device_are_in_the_language(triton_device: Any) -> None:
    """A decoding loop without the CPU: nothing is read back before the end."""
    compiler = byte_compiler([b"12", b"2024", b"-0"])
    compiled = compiler.compile_regex(DATE)
    size, batch = compiler.vocabulary.size, 3
    automaton = DeviceAutomaton(compiled, batch_size=batch, device=triton_device)
    sampler = FusedSampler([Sample(), Sample(top_k=5), Greedy()], seeds=[1, 2, 3], device=triton_device)
    logits = torch.randn(batch, size + 5, generator=torch.Generator().manual_seed(0)).to(triton_device)
    kept = []
    for _ in range(12):
        draws = sampler.draw(logits, automaton.masks, mask_rows=automaton.rows)
        automaton.advance(draws.token_ids)
        kept.append(draws.token_ids)
    assert automaton.is_terminated().all()
    for row in torch.stack(kept, 1).tolist():
        text = compiler.vocabulary.decode(t for t in row if t != size - 1)
        assert re.fullmatch(DATE, text.decode())


@pytest.mark.gpu
def test_steps_run_from_one_cuda_graph(triton_device: Any) -> None:
    if triton_device.type != "cuda":
        pytest.skip("needs a CUDA device")
    compiled = byte_compiler([b"12", b"2024", b"-0"]).compile_regex(DATE)
    size, batch, steps = compiled.vocabulary.size, 8, 12
    table = torch.randn(size, size, device=triton_device)  # a model: the logits behind a token

    def step() -> None:
        draws = sampler.draw(table[tokens], automaton.masks, mask_rows=automaton.rows)
        tokens.copy_(draws.token_ids)
        automaton.advance(tokens)

    texts = []
    for captured in (False, True):
        automaton = DeviceAutomaton(compiled, batch_size=batch, device=triton_device)
        sampler = FusedSampler([Sample(top_p=0.9)] * batch, seeds=range(batch), device=triton_device)
        tokens = torch.zeros(batch, dtype=torch.int64, device=triton_device)
        graph = torch.cuda.CUDAGraph()
        if captured:
            step()  # compiles the kernels
            torch.cuda.synchronize()
            with torch.cuda.graph(graph):
                step()
            automaton.reset()
            sampler.steps.zero_()
            tokens.zero_()
        kept = []
        for _ in range(steps):
            graph.replay() if captured else step()
            kept.append(tokens.clone())
        texts.append(torch.stack(kept).tolist())
    assert texts[0] == texts[1]


def test_what_has_no_table_is_refused() -> None:
    compiler = byte_compiler()
    nested = compiler.compile_lark('start: "(" start ")" | "x"')
    with pytest.raises(ge.LimitExceededError, match="max_positions 500"):
        token_automaton(nested, max_positions=500)
    digits = compiler.compile_regex(r"\d{50}")
    with pytest.raises(ge.LimitExceededError, match="max_table_bytes"):
        token_automaton(digits, max_table_bytes=1000)
    with pytest.raises((ge.UnsupportedGrammarError, ge.LimitExceededError)):
        token_automaton(compiler.compile_json_schema({"type": "object"}), max_positions=2000)
    names = {"type": "object", "additionalProperties": {"type": "null"}, "maxProperties": 1}
    with pytest.raises(ge.UnsupportedGrammarError, match="additional properties"):
        token_automaton(compiler.compile_json_schema(names))


def test_token_classes_are_equal_columns() -> None:
    compiled = byte_compiler([b"12", b"123", b"1,2", b"x"]).compile_regex(PATTERNS[0])
    table = token_automaton(compiled)
    columns = {tuple(column) for column in table.transitions.T.tolist()}
    assert len(columns) == table.transitions.shape[1]  # no two classes behave alike
    assert set(table.token_classes.tolist()) == set(range(table.transitions.shape[1]))
    assert table.nbytes < 100_000
