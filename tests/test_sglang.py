"""The SGLang integration in a stub of SGLang (support/sglang_stub.py); with its own modules: `make test-sglang`."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import random
import sys
import types
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra hf")
pytest.importorskip("transformers", reason="needs the extra hf")

import sglang_stub as stub

from grammar_engine.integrations import sglang as plugin

SIZE = 512
TEXTS = ["yes", "yes, I do", "no", "not at all", "none"]


@pytest.fixture
def serving() -> SimpleNamespace:
    return SimpleNamespace(
        reasoning_parser=None,
        enable_strict_thinking=False,
        constrained_json_whitespace_pattern=None,
        constrained_json_disable_any_whitespace=False,
        constrained_json_max_whitespace_cnt=None,
    )


@pytest.fixture
def host(serving: SimpleNamespace) -> Iterator[dict[str, types.ModuleType]]:
    names = [name for name in sys.modules if name == "sglang" or name.startswith("sglang.")]
    names.append("grammar_engine.integrations.sglang_backend")
    before = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    made = stub.modules(serving)
    made["sglang"].__spec__ = importlib.machinery.ModuleSpec("sglang", None)
    sys.modules.update(made)
    yield made
    for name in [*made, "grammar_engine.integrations.sglang_backend"]:
        sys.modules.pop(name, None)
    sys.modules.update(before)


def backend_of(host: dict[str, types.ModuleType], tokenizer: Any, ends: Any = None) -> Any:
    plugin.load_plugin()
    plugin.load_plugin()
    assert vars(host["sglang.srt.server_args"])["CHOICES"].count("grammar-engine") == 1
    registry = vars(host["sglang.srt.constrained.base_grammar_backend"])["GRAMMAR_BACKEND_REGISTRY"]
    return registry["grammar-engine"](object(), tokenizer, SIZE, ends)


def spelled(tokenizer: Any) -> list[bytes]:
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    bytes_of = {character: byte for byte, character in bytes_to_unicode().items()}
    table = [b""] * SIZE
    for piece, number in tokenizer.get_vocab().items():
        table[number] = b"" if piece == "<|end|>" else bytes(bytes_of[character] for character in piece)
    return table


def expected_ids(table: list[bytes], tokens: list[int], end: int) -> set[int]:
    text = b"".join(table[i] for i in tokens)
    texts = [known.encode() for known in TEXTS]
    found = {i for i, token in enumerate(table) if token and any(known.startswith(text + token) for known in texts)}
    return found | ({end} if text in texts else set())


def ids_of(row: Any) -> set[int]:
    return set(np.flatnonzero(np.unpackbits(row.numpy().view(np.uint8), bitorder="little")).tolist())


def test_trees_of_drafts_equal_brute_force(host: dict[str, types.ModuleType], tiny_pair: tuple[Any, Any]) -> None:
    tokenizer = tiny_pair[1]
    end, table = tokenizer.eos_token_id, spelled(tokenizer)
    backend = backend_of(host, tokenizer, {end})
    rng = random.Random(0)
    for _ in range(80):
        grammar = stub.ready(backend, ("regex", "|".join(TEXTS)))
        output: list[int] = []
        while not grammar.is_terminated():
            paths = [output]
            tokens, parents = [-1], [-1]
            for node in range(1, 7):
                parent = rng.randrange(node)
                choices = sorted(expected_ids(table, paths[parent], end)) if end not in paths[parent] else []
                token = rng.choice(choices) if choices and rng.random() < 0.8 else rng.randrange(SIZE)
                tokens.append(token)
                parents.append(parent)
                paths.append([*paths[parent], token])
            mask = grammar.allocate_vocab_mask(SIZE, 7, "cpu")
            stub.tree_masks(grammar, tokens, parents, mask)
            for node, path in enumerate(paths):
                right = all(token in expected_ids(table, path[:i], end) for i, token in enumerate(path))
                if right and end not in path:
                    assert ids_of(mask[node]) == expected_ids(table, path, end)
            accepted = rng.choice(sorted(expected_ids(table, output, end)))
            wrong = next(i for i in range(SIZE) if i not in expected_ids(table, output, end))
            with pytest.raises(ValueError, match="is refused"):
                grammar.accept_token(wrong)
            grammar.accept_token(accepted)
            assert grammar.current_token == accepted
            output.append(accepted)
        assert b"".join(table[i] for i in output[:-1]).decode() in TEXTS
        grammar.accept_token(5)  # drafts behind the end are cut, not refused
        grammar.rollback(1)
        assert not grammar.is_terminated()


def test_requests_share_a_grammar_but_not_a_text(host: dict[str, types.ModuleType], tiny_pair: tuple[Any, Any]) -> None:
    backend = backend_of(host, tiny_pair[1])
    table = spelled(tiny_pair[1])
    first, second = (stub.ready(backend, ("regex", "a{2}")) for _ in range(2))
    first.accept_token(table.index(b"a"))
    second.accept_token(table.index(b"a"))
    second.accept_token(table.index(b"a"))
    with pytest.raises(ValueError, match="is refused"):
        second.accept_token(table.index(b"a"))
    first.accept_token(table.index(b"a"))
    assert first.grammar_stats.dispatch_type == "regex"


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (
            ("json", json.dumps({"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a"]})),
            '{"a": null}',
        ),
        (("json", "$$ANY$$"), "[1, 2]"),
        (("regex", "[0-9]{3}"), "123"),
        (("ebnf", 'root ::= "a" | "b"'), "a"),
        (("ebnf", 'start: "x" "y"\n'), "xy"),
    ],
)
def test_each_kind_is_served(
    host: dict[str, types.ModuleType], tiny_pair: tuple[Any, Any], key: tuple[str, str], text: str
) -> None:
    tokenizer = tiny_pair[1]
    grammar = stub.ready(backend_of(host, tokenizer, tokenizer.eos_token_id), key)
    table = spelled(tokenizer)
    for byte in text.encode():
        grammar.accept_token(table.index(bytes([byte])))
    assert not grammar.is_terminated()
    grammar.accept_token(tokenizer.eos_token_id)
    assert grammar.is_terminated()


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (("json", '{"type": "strin"}'), "not 'strin' (at /type)"),
        (("json", "{"), "is not JSON"),
        (("regex", "("), "unterminated subpattern"),
        (("ebnf", "/etc/passwd.gbnf"), "the path of a grammar"),
        (("structural_tag", "["), ""),
        (("regex", "\U0010ffff"), ""),
    ],
)
def test_what_is_refused_carries_our_message(
    host: dict[str, types.ModuleType], tiny_pair: tuple[Any, Any], key: tuple[str, str], message: str
) -> None:
    grammar = stub.ready(backend_of(host, tiny_pair[1]), key)
    if message:
        assert isinstance(grammar, stub.InvalidGrammarObject)
        assert message in grammar.error_message


def test_forced_text_is_jumped_over_and_tokenized_anew(
    host: dict[str, types.ModuleType], tiny_pair: tuple[Any, Any]
) -> None:
    tokenizer = tiny_pair[1]
    table = spelled(tokenizer)
    grammar = stub.ready(backend_of(host, tokenizer), ("regex", "true or (none|héllo)"))
    old = [table.index(b"t")]
    grammar.accept_token(old[0])
    helper = grammar.try_jump_forward(tokenizer)
    text, state = grammar.jump_forward_str_state(helper)
    assert text == "rue or "
    new = tokenizer.encode("true or ")
    assert new[0] != old[0] or len(new) < 8
    grammar.jump_and_retokenize(old, new, state)
    assert grammar.try_jump_forward(tokenizer) is None
    with pytest.raises(ValueError, match="tokenized anew is refused"):
        grammar.jump_and_retokenize(new, [*new, table.index(b"x")], state)
    grammar.accept_token(table.index(b"h"))
    assert grammar.try_jump_forward(tokenizer) == ([], "éllo")
    grammar.accept_token(table.index(b"\xc3"))
    assert grammar.try_jump_forward(tokenizer) is None  # the rest of a character is no text


def test_masks_are_applied_moved_and_reset(host: dict[str, types.ModuleType], tiny_pair: tuple[Any, Any]) -> None:
    backend = backend_of(host, tiny_pair[1])
    grammar = stub.ready(backend, ("regex", "a"))
    mask = grammar.allocate_vocab_mask(SIZE, 2, "cpu")
    grammar.fill_vocab_mask(mask, 1)
    logits = torch.zeros(2, SIZE)
    grammar.apply_vocab_mask(logits=logits, vocab_mask=grammar.move_vocab_mask(mask, "cpu"))
    assert torch.isfinite(logits).sum(1).tolist() == [SIZE, 1]
    backend.set_token_filter(mask, [3, 40], 1, is_allowed=True, reset_vocab_mask=False)
    assert ids_of(mask[1]) == {3, 40, spelled(tiny_pair[1]).index(b"a")}
    backend.set_token_filter(mask, [31, 40], 1, is_allowed=True)
    assert ids_of(mask[1]) == {31, 40}
    backend.set_token_filter(mask, [31], 1, is_allowed=False, reset_vocab_mask=False)
    assert ids_of(mask[1]) == {40}
    backend.set_token_filter(mask, [31], 1, is_allowed=False)
    assert ids_of(mask[1]) == set(range(SIZE)) - {31}
    grammar.reset_vocab_mask(mask)
    assert (mask == -1).all()
    assert backend.allocate_vocab_mask(SIZE, 3, "cpu").shape == (3, SIZE // 32)
    assert backend.is_support_token_filter


def test_the_servers_options(
    host: dict[str, types.ModuleType], tiny_pair: tuple[Any, Any], serving: SimpleNamespace
) -> None:
    tokenizer = tiny_pair[1]
    table = spelled(tokenizer)
    brace, space = table.index(b"{"), table.index(b" ")
    serving.constrained_json_disable_any_whitespace = True
    grammar = stub.ready(backend_of(host, tokenizer), ("json", '{"type": "object"}'))
    grammar.accept_token(brace)
    with pytest.raises(ValueError, match="is refused"):
        grammar.accept_token(space)
    serving.constrained_json_disable_any_whitespace = False
    serving.constrained_json_max_whitespace_cnt = 1
    grammar = stub.ready(backend_of(host, tokenizer), ("json", '{"type": "object"}'))
    grammar.accept_token(brace)
    grammar.accept_token(space)
    with pytest.raises(ValueError, match="is refused"):
        grammar.accept_token(space)
    serving.constrained_json_whitespace_pattern = " *"
    with pytest.raises(ValueError, match="whitespace-pattern"):
        backend_of(host, tokenizer)


def test_reasoning_is_left_to_sglangs_wrapper(
    host: dict[str, types.ModuleType], tiny_pair: tuple[Any, Any], serving: SimpleNamespace
) -> None:
    serving.reasoning_parser = "qwen3"
    serving.enable_strict_thinking = True
    backend = backend_of(host, tiny_pair[1])
    assert isinstance(backend, stub.ReasonerGrammarBackend)
    assert backend.parser.model_type == "qwen3"
    assert backend.enable_strict_thinking
    assert type(backend.grammar_backend).__name__ == "GrammarEngineBackend"


def test_without_sglang_the_plugin_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from grammar_engine.errors import MissingDependencyError

    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(MissingDependencyError, match=r"grammar-engine\[sglang\]"):
        plugin.register()
