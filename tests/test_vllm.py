"""The vLLM integration in a stub of vLLM (support/vllm_stub.py); in vLLM itself: `make test-vllm`."""

from __future__ import annotations

import importlib.machinery
import json
import logging
import random
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra hf")
pytest.importorskip("transformers", reason="needs the extra hf")

import vllm_stub as stub
from pydantic.dataclasses import rebuild_dataclass

from grammar_engine.integrations import vllm as plugin

PERSON = {
    "type": "object",
    "properties": {"name": {"enum": ["Ada", "Bob"]}, "age": {"type": "integer", "minimum": 0, "maximum": 9}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
CALL = {
    "type": "structural_tag",
    "format": {
        "type": "triggered_tags",
        "triggers": ["<f>"],
        "tags": [
            {"type": "tag", "begin": "<f>", "content": {"type": "json_schema", "json_schema": PERSON}, "end": "</f>"},
        ],
    },
}
TEXTS = ["yes", "yes, I do", "no", "not at all", "none"]
LAYERS = ("vllm_hooks", "vllm_backend", "vllm_processor", "vllm_settings")


def _clear() -> dict[str, types.ModuleType]:
    names = [name for name in sys.modules if name == "vllm" or name.startswith("vllm.")]
    names += [f"grammar_engine.integrations.{layer}" for layer in LAYERS]
    return {name: sys.modules.pop(name) for name in names if name in sys.modules}


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, types.ModuleType]]:
    """The stub in the place of vLLM, not yet extended."""
    monkeypatch.delenv(plugin.REPLACES, raising=False)
    before = _clear()
    config = stub.StructuredOutputsConfig
    literal, annotation = config.__dataclass_fields__["backend"].type, config.__annotations__["backend"]
    decorators = {name: item.func for name, item in config.__pydantic_decorators__.model_validators.items()}
    made = stub.modules()
    made["vllm"].__spec__ = importlib.machinery.ModuleSpec("vllm", None)
    sys.modules.update(made)
    yield made
    _clear()
    sys.modules.update(before)
    config.__dataclass_fields__["backend"].type, config.__annotations__["backend"] = literal, annotation
    for name, item in config.__pydantic_decorators__.model_validators.items():
        item.func = decorators[name]
    rebuild_dataclass(config, force=True)


@pytest.fixture
def served(host: dict[str, types.ModuleType]) -> dict[str, types.ModuleType]:
    plugin.load_plugin()
    return host


def configured(tokenizer: Any, backend: str = plugin.BACKEND, **options: Any) -> Any:
    processors = options.pop("logits_processors", None)
    known = {name: options.pop(name) for name in ("speculative_config", "use_v2_model_runner") if name in options}
    return stub.VllmConfig(
        structured_outputs_config=stub.StructuredOutputsConfig(backend=backend, **options),  # type: ignore[arg-type]
        model_config=stub.ModelConfig(tokenizer, logits_processors=processors),
        num_speculative_tokens=4,
        **known,
    )


def sampling(host: dict[str, types.ModuleType], constraint: dict[str, Any] | None, **options: Any) -> Any:
    asked = None if constraint is None else stub.StructuredOutputsParams(**constraint)
    return vars(host["vllm"])["SamplingParams"](structured_outputs=asked, **options)


def front_end(host: dict[str, types.ModuleType], config: Any) -> Any:
    return vars(host["vllm.v1.engine.input_processor"])["InputProcessor"](config, renderer=None)


def engine(host: dict[str, types.ModuleType], config: Any) -> Any:
    return vars(host["vllm.v1.structured_output"])["StructuredOutputManager"](config)


def compiled_request(manager: Any, params: Any) -> Any:
    request = SimpleNamespace(sampling_params=params, structured_output_request=params.structured_outputs, grammar=None)
    manager.grammar_init(request)
    return request.grammar


def spelled(tokenizer: Any) -> list[bytes | None]:
    """The bytes of each token, from the tokenizer's own decoder table (byte level)."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    bytes_of = {character: byte for byte, character in bytes_to_unicode().items()}
    table: list[bytes | None] = [None] * stub.VOCABULARY_SIZE
    for piece, number in tokenizer.get_vocab().items():
        table[number] = None if piece == "<|end|>" else bytes(bytes_of[character] for character in piece)
    return table


def expected_ids(table: list[bytes | None], text: bytes, end: int) -> set[int]:
    """Brute force: the tokens that lead on to one of TEXTS."""
    texts = [known.encode() for known in TEXTS]
    found = {i for i, token in enumerate(table) if token and any(t.startswith(text + token) for t in texts)}
    return found | ({end} if text in texts else set())


def ids_of(row: Any) -> set[int]:
    return set(np.flatnonzero(np.unpackbits(np.ascontiguousarray(row).view(np.uint8), bitorder="little")).tolist())


# -- configuration ----------------------------------------------------------------------------------------------------


def test_the_backend_has_a_name_only_once_the_plugin_is_loaded(host: dict[str, types.ModuleType]) -> None:
    with pytest.raises(ValueError, match="backend"):
        stub.StructuredOutputsConfig(backend=plugin.BACKEND)  # type: ignore[arg-type]
    plugin.load_plugin()
    manager = vars(host["vllm.v1.structured_output"])["StructuredOutputManager"]
    wrapped = manager.__init__
    plugin.load_plugin()
    assert manager.__init__ is wrapped
    assert configured(None, disable_any_whitespace=True).structured_outputs_config.backend == plugin.BACKEND
    with pytest.raises(ValueError, match="additionalProperties"):
        configured(None, disable_additional_properties=True)
    with pytest.raises(ValueError, match="backend"):
        configured(None, "nonsense")
    with pytest.raises(ValueError, match="only supported for xgrammar"):
        configured(None, "auto", disable_any_whitespace=True)


def test_other_backends_are_left_alone(served: dict[str, types.ModuleType], tiny_pair: tuple[Any, Any]) -> None:
    config = configured(tiny_pair[1], "xgrammar")
    params = sampling(served, {"json": {"type": "strin"}}, ignore_eos=True)
    front_end(served, config)._validate_params(params)
    assert params.structured_outputs._backend == "vLLM's own"
    manager = engine(served, config)
    assert manager.backend is None
    with pytest.raises(ValueError, match="no backend named vLLM's own"):
        compiled_request(manager, params)


@pytest.mark.parametrize("backend", [plugin.BACKEND, "xgrammar"])
def test_our_requests_tags_are_checked_by_us_alone(
    served: dict[str, types.ModuleType], tiny_pair: tuple[Any, Any], backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(payload: Any, *, parameter: str) -> None:
        raise ValueError(f"Invalid {parameter} structural_tag specification: {payload}")

    server: Any = types.ModuleType("vllm.entrypoints.generate.base.protocol")
    server.validate_structural_tag_payload = check
    monkeypatch.setitem(sys.modules, server.__name__, server)
    inputs = front_end(served, configured(tiny_pair[1], backend))
    if backend == "xgrammar":
        assert server.validate_structural_tag_payload is check
        return
    tag = {**CALL, "format": {**CALL["format"], "triggers": ["<g>"]}}
    server.validate_structural_tag_payload(tag, parameter="response_format")
    with pytest.raises(ValueError, match="no trigger is the beginning of its begin"):
        inputs._validate_params(sampling(served, {"structural_tag": json.dumps(tag)}))


def test_the_environment_may_name_backends_to_replace(
    served: dict[str, types.ModuleType], tiny_pair: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(plugin.REPLACES, "auto, guidance")
    config = configured(tiny_pair[1], "auto")
    params = sampling(served, {"choice": TEXTS})
    front_end(served, config)._validate_params(params)
    assert params.structured_outputs._backend == "auto"
    assert engine(served, config).backend is not None
    assert engine(served, configured(tiny_pair[1], "xgrammar")).backend is None


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("vllm.v1.structured_output", "StructuredOutputManager"),
        ("vllm.v1.engine.input_processor", "InputProcessor"),
        ("vllm.sampling_params", "SamplingParams"),
    ],
)
def test_a_vllm_of_another_shape_is_left_as_it_is(
    host: dict[str, types.ModuleType],
    module: str,
    name: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    setattr(host[module], name, type(name, (), {}))
    with caplog.at_level(logging.WARNING):
        plugin.load_plugin()
    assert f"it has no {name}." in caplog.text
    with pytest.raises(ValueError, match="backend"):
        stub.StructuredOutputsConfig(backend=plugin.BACKEND)  # type: ignore[arg-type]
    with pytest.raises(plugin.IncompatibleVllmError):
        plugin.register()
    monkeypatch.setenv(plugin.REPLACES, "auto")
    with pytest.raises(plugin.IncompatibleVllmError):
        plugin.load_plugin()


def test_without_vllm_the_entry_point_is_importable_and_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from grammar_engine.errors import MissingDependencyError

    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(MissingDependencyError, match=r"grammar-engine\[vllm\]"):
        plugin.register()


def test_entry_points_exist() -> None:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        tomllib = pytest.importorskip("tomli")
    settings = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text("utf-8"))
    for points in settings["project"]["entry-points"].values():
        for target in points.values():
            module, name = target.split(":")
            assert callable(getattr(importlib.import_module(module), name))


# -- requests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("constraint", "options", "message"),
    [
        ({"json": {"type": "strin"}}, {}, "not 'strin' (at /type)"),
        ({"json": '{"type": '}, {}, "is not JSON"),
        ({"json": {"type": "integer", "minimum": 3, "maximum": 2}}, {}, "nothing can satisfy"),
        ({"regex": "(a"}, {}, "unterminated subpattern"),
        ({"regex": r"(a)\1"}, {}, "is not supported"),
        ({"grammar": "start: x\n"}, {}, "used but not defined"),
        ({"grammar": "root ::= ["}, {}, "line 1"),
        ({"grammar": "a.lark"}, {}, "the path of a grammar"),
        ({"choice": []}, {}, "a list of one or more"),
        ({"json_object": False}, {}, "json_object is true"),
        ({"structural_tag": '{"type": "structural_tag"}'}, {}, "format"),
        ({"json": PERSON}, {"ignore_eos": True}, "ignore_eos"),
        ({"json": PERSON, "whitespace_pattern": " "}, {}, "whitespace_pattern"),
        ({"json": PERSON, "disable_any_whitespace": True}, {}, "not read from requests"),
        ({"json": PERSON, "disable_additional_properties": True}, {}, "not read from requests"),
    ],
)
def test_what_cannot_be_served_is_refused_with_our_message(
    served: dict[str, types.ModuleType],
    tiny_pair: tuple[Any, Any],
    constraint: dict[str, Any],
    options: dict[str, Any],
    message: str,
) -> None:
    inputs = front_end(served, configured(tiny_pair[1]))
    with pytest.raises(stub.VLLMValidationError) as caught:
        inputs._validate_params(sampling(served, constraint, **options))
    assert message in str(caught.value)


def test_no_tokenizer_and_diffusion_are_refused(
    served: dict[str, types.ModuleType], tiny_pair: tuple[Any, Any]
) -> None:
    params = sampling(served, {"json": PERSON})
    with pytest.raises(stub.VLLMValidationError, match="need a tokenizer"):
        front_end(served, configured(None))._validate_params(params)
    config = configured(tiny_pair[1])
    config.model_config.is_diffusion = True
    with pytest.raises(stub.VLLMValidationError, match="diffusion"):
        front_end(served, config)._validate_params(params)


@pytest.mark.parametrize(
    ("constraint", "text"),
    [
        ({"json": PERSON}, b'{ "name": "Ada", "age": 7}'),
        ({"json": json.dumps(PERSON)}, b'{"name":"Bob","age":0}'),
        ({"json_object": True}, b'{"a": [1]}'),
        ({"regex": "[a-c]{2}"}, b"ab"),
        ({"choice": TEXTS}, b"not at all"),
        ({"grammar": 'start: "a"+ /[0-9]/\n'}, b"aaa1"),
        ({"grammar": 'root ::= "a"{2,3} [0-9]'}, b"aa1"),
        ({"structural_tag": json.dumps(CALL)}, b'so <f>{"name": "Ada", "age": 7}</f> then'),
    ],
)
def test_each_kind_is_served(
    served: dict[str, types.ModuleType], tiny_pair: tuple[Any, Any], constraint: dict[str, Any], text: bytes
) -> None:
    config, tokenizer = configured(tiny_pair[1]), tiny_pair[1]
    params = sampling(served, constraint, all_stop_token_ids={tokenizer.eos_token_id})
    front_end(served, config)._validate_params(params)
    assert params.structured_outputs._backend == plugin.BACKEND
    grammar = compiled_request(engine(served, config), params)
    table = spelled(tokenizer)
    tokens = [table.index(text[i : i + 1]) for i in range(len(text))]
    assert grammar.accept_tokens("r", tokens)
    assert not grammar.is_terminated()
    assert grammar.accept_tokens("r", [tokenizer.eos_token_id])
    assert grammar.is_terminated()
    grammar.rollback(2)
    assert not grammar.is_terminated()
    assert grammar.accept_tokens("r", [tokenizer.eos_token_id]) == ("structural_tag" in constraint)
    grammar.reset()
    assert grammar.accept_tokens("r", tokens)
    assert grammar.accept_tokens("r", [table.index(b"!")]) == ("structural_tag" in constraint)  # free text


def test_compact_json_has_no_white_space(served: dict[str, types.ModuleType], tiny_pair: tuple[Any, Any]) -> None:
    config = configured(tiny_pair[1], disable_any_whitespace=True)
    grammar = compiled_request(engine(served, config), sampling(served, {"json": PERSON}, all_stop_token_ids={0}))
    table = spelled(tiny_pair[1])
    assert grammar.validate_tokens([table.index(b"{"), table.index(b" ")]) == [table.index(b"{")]


def test_drafts_masks_and_rollback_equal_brute_force(
    served: dict[str, types.ModuleType], tiny_pair: tuple[Any, Any]
) -> None:
    tokenizer = tiny_pair[1]
    end, table = tokenizer.eos_token_id, spelled(tokenizer)
    manager = engine(served, configured(tokenizer))
    rng = random.Random(1)
    finished = accepted_drafts = 0
    for _ in range(60):
        grammar = compiled_request(manager, sampling(served, {"choice": TEXTS}, all_stop_token_ids={end}))
        output: list[int] = []
        while not grammar.is_terminated():
            drafts = _drafts(table, output, end, rng)
            kept = manager.validate_tokens(grammar, drafts)
            assert kept == drafts[: len(kept)]
            accepted_drafts += len(kept)
            rows = manager.grammar_bitmask(grammar, kept)
            for number in range(len(kept) + 1):
                before = output + kept[:number]
                if end in before:
                    assert (rows[number] == -1).all()
                    continue
                expected = expected_ids(table, _text(table, before), end)
                assert ids_of(rows[number]) == expected
                if number == len(kept) < len(drafts):
                    assert drafts[number] not in expected
            sampled = kept[: rng.randint(0, len(kept))]
            if end not in sampled:
                sampled.append(rng.choice(sorted(expected_ids(table, _text(table, output + sampled), end))))
            assert grammar.accept_tokens("r", sampled)
            output += sampled
        assert _text(table, output[:-1]).decode() in TEXTS
        finished += 1
    assert finished == 60
    assert accepted_drafts > 60


def _text(table: list[bytes | None], tokens: list[int]) -> bytes:
    return b"".join(table[i] or b"" for i in tokens)


def _leads(table: list[bytes | None], tokens: list[int], end: int) -> bool:
    """Whether each token is allowed behind those before it."""
    return all(token in expected_ids(table, _text(table, tokens[:i]), end) for i, token in enumerate(tokens))


def _drafts(table: list[bytes | None], output: list[int], end: int, rng: random.Random) -> list[int]:
    drafts: list[int] = []
    for _ in range(4):
        if end in drafts:
            break
        choices = sorted(expected_ids(table, _text(table, output + drafts), end))
        drafts.append(rng.choice(choices) if choices and rng.random() < 0.8 else rng.randrange(len(table)))
        if drafts[-1] not in choices:
            break
    return [*drafts, -1] if rng.random() < 0.2 else drafts


# -- the logits processor ---------------------------------------------------------------------------------------------


def constrained(host: dict[str, types.ModuleType], settings: Any, end: int, **options: Any) -> Any:
    return sampling(host, None, extra_args={"grammar_engine": settings}, all_stop_token_ids={end}, **options)


def allowed(logits: Any, row: int) -> set[int]:
    return set(torch.isfinite(logits[row]).nonzero().flatten().tolist())


def new_processor(config: Any, *arguments: Any) -> Any:
    from grammar_engine.integrations.vllm_processor import GrammarLogitsProcessor

    return GrammarLogitsProcessor(config, *arguments)


def logits(rows: int) -> Any:
    return torch.zeros(rows, stub.VOCABULARY_SIZE)


def test_v1_rows_are_followed_as_requests_come_move_and_go(
    served: dict[str, types.ModuleType], tiny_pair: tuple[Any, Any]
) -> None:
    tokenizer = tiny_pair[1]
    end, table = tokenizer.eos_token_id, spelled(tokenizer)
    processor = new_processor(configured(tokenizer, "auto"), torch.device("cpu"), False)
    assert not processor.is_argmax_invariant()
    processor.update_state(None)
    assert processor.apply(given := logits(2)) is given
    rng = random.Random(2)
    rows: list[tuple[bool, list[int]] | None] = [None] * 5  # row → is it ours, its live output
    for _ in range(300):
        removed = [row for row, request in enumerate(rows) if request and rng.random() < 0.1]
        for row in removed:
            rows[row] = None
        added = []
        for row, request in enumerate(rows):
            if request is None and rng.random() < 0.4:
                ours, output = rng.random() < 0.7, list[int]()
                if ours and rng.random() < 0.3:  # back from preemption
                    output.append(rng.choice(sorted(expected_ids(table, b"", end))))
                rows[row] = (ours, output)
                params = constrained(served, {"choices": TEXTS}, end) if ours else sampling(served, None)
                added.append((row, params, [1, 2], output))
        moved = []
        if rng.random() < 0.5:
            source, target = rng.sample(range(5), 2)
            if rng.random() < 0.5:
                moved.append((source, target, stub.MoveDirectionality.SWAP))
                rows[source], rows[target] = rows[target], rows[source]
            elif rows[source] is not None:
                moved.append((source, target, stub.MoveDirectionality.UNIDIRECTIONAL))
                rows[source], rows[target] = None, rows[source]
        processor.update_state(stub.BatchUpdate(5, removed, added, moved))
        masked = processor.apply(logits(5))
        for row, request in enumerate(rows):
            if request is None or not request[0]:
                assert len(allowed(masked, row)) == stub.VOCABULARY_SIZE
                continue
            output = request[1]
            expected = {end} if end in output else expected_ids(table, _text(table, output), end)
            assert allowed(masked, row) == expected
            output.append(rng.choice(sorted(expected)))


def test_v2_rows_of_drafts_are_masked_in_any_order(
    served: dict[str, types.ModuleType], tiny_pair: tuple[Any, Any]
) -> None:
    tokenizer = tiny_pair[1]
    end, table = tokenizer.eos_token_id, spelled(tokenizer)
    requests = stub.Requests(6, 64)
    processor = new_processor(configured(tokenizer, "auto"), requests)
    rng = random.Random(3)
    state: dict[int, tuple[bool, list[int], list[int]]] = {}
    for _ in range(200):
        for slot in range(6):
            if slot not in state or rng.random() < 0.1:
                ours = rng.random() < 0.7
                params = constrained(served, {"choices": TEXTS}, end) if ours else sampling(served, None)
                assert processor.add_request(slot, params) == ours
                output = [rng.choice(sorted(expected_ids(table, b"", end)))] if rng.random() < 0.3 else []
                state[slot] = (ours, [rng.randrange(300) for _ in range(rng.randint(1, 9))], output)
        processor.apply_staged_writes()
        batch = []
        drafted = rng.random() < 0.6
        for slot in rng.sample(sorted(state), rng.randint(1, 6)):
            _, prompt, output = state[slot]
            requests.put(slot, prompt, output)
            drafts = [i for i in _drafts(table, output, end, rng) if i >= 0] if drafted and end not in output else []
            batch.append((slot, prompt, output, drafts))
        context = stub.layout(batch)
        masked = processor.apply(logits(len(context.expanded_idx_mapping)), context)
        row = 0
        for slot, _prompt, output, drafts in batch:
            for number in range(len(drafts) + 1):
                before = output + drafts[:number]
                if not state[slot][0]:
                    assert len(allowed(masked, row)) == stub.VOCABULARY_SIZE
                elif end in before or not _leads(table, before, end):
                    assert allowed(masked, row) == {end}
                else:
                    assert allowed(masked, row) == expected_ids(table, _text(table, before), end)
                row += 1
            choices = expected_ids(table, _text(table, output), end)
            if end not in output and choices:
                output.append(rng.choice(sorted(choices)))


def test_tokens_that_the_grammar_does_not_allow_leave_only_the_end(
    served: dict[str, types.ModuleType], tiny_pair: tuple[Any, Any], caplog: pytest.LogCaptureFixture
) -> None:
    end = tiny_pair[1].eos_token_id
    processor = new_processor(configured(tiny_pair[1], "auto"), torch.device("cpu"), False)
    output: list[int] = []
    processor.update_state(stub.BatchUpdate(1, added=[(0, constrained(served, {"choices": TEXTS}, end), [1], output)]))
    assert len(allowed(processor.apply(logits(1)), 0)) > 1
    output.append(-1)  # what asynchronous scheduling shows to a processor that is an entry point
    with caplog.at_level(logging.WARNING):
        assert allowed(processor.apply(logits(1)), 0) == {end}
        assert allowed(processor.apply(logits(1)), 0) == {end}
    assert caplog.text.count("led where its grammar does not go") == 1
    output.clear()
    assert len(allowed(processor.apply(logits(1)), 0)) > 1


def test_the_grammar_wins_over_settings_that_leave_nothing(
    served: dict[str, types.ModuleType], tiny_pair: tuple[Any, Any]
) -> None:
    end, table = tiny_pair[1].eos_token_id, spelled(tiny_pair[1])
    processor = new_processor(configured(tiny_pair[1], "auto"), torch.device("cpu"), False)
    params = constrained(served, {"choices": ["no"]}, end, min_tokens=20)
    output = [table.index(b"n"), table.index(b"o")]
    processor.update_state(stub.BatchUpdate(1, added=[(0, params, [1], output)]))
    given = logits(1)
    given[0, end] = float("-inf")
    assert allowed(processor.apply(given), 0) == {end}


def test_a_request_that_fails_behind_its_check_may_only_stop(
    served: dict[str, types.ModuleType], tiny_pair: tuple[Any, Any], caplog: pytest.LogCaptureFixture
) -> None:
    end = tiny_pair[1].eos_token_id
    processor = new_processor(configured(tiny_pair[1], "auto"), torch.device("cpu"), False)
    with caplog.at_level(logging.ERROR):
        processor.update_state(stub.BatchUpdate(1, added=[(0, constrained(served, {"regex": "("}, end), [1], [])]))
    assert "cannot be constrained" in caplog.text
    assert allowed(processor.apply(logits(1)), 0) == {end}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("{", "not a JSON object"),
        ([1], "expected an object"),
        ({}, "exactly one of"),
        ({"regex": "a", "choices": ["a"]}, "exactly one of"),
        ({"regex": "a", "indent": 2}, "'indent' is no option beside 'regex'"),
        ({"json_schema": {"type": "strin"}}, "not 'strin' (at /type)"),
        ({"json_schema": {}, "property_order": "random"}, "property_order"),
        ({"json_schema": {}, "indent": "x"}, "indent"),
        ({"regex": 5}, "regex is a text"),
        ({"choices": "a"}, "a list of one or more"),
        ({"grammar": "start: x\n"}, "used but not defined"),
        ({"grammar": 'start: "a"\n', "root": "x"}, "root"),
        ({"grammar": "a.gbnf"}, "the path of a grammar"),
    ],
)
def test_settings_that_are_refused(served: dict[str, types.ModuleType], settings: Any, message: str) -> None:
    from grammar_engine.integrations.vllm_processor import GrammarLogitsProcessor

    with pytest.raises(ValueError) as caught:
        GrammarLogitsProcessor.validate_params(constrained(served, settings, 0))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"json_schema": PERSON, "indent": 2, "property_order": "any"},
        {"json_schema": json.dumps(PERSON), "separators": [",", ":"]},
        json.dumps({"regex": "[0-9]+"}),
        {"grammar": 'start: "a"\n', "parser": "lalr"},
        {"grammar": 'r ::= "a"', "root": "r"},
        {"grammar": "json"},
        {"structural_tag": CALL},
    ],
)
def test_settings_that_are_served(served: dict[str, types.ModuleType], settings: Any) -> None:
    from grammar_engine.integrations.vllm_processor import GrammarLogitsProcessor

    GrammarLogitsProcessor.validate_params(constrained(served, settings, 0))
    GrammarLogitsProcessor.validate_params(sampling(served, None))
    with pytest.raises(ValueError, match="not both"):
        GrammarLogitsProcessor.validate_params(
            sampling(served, {"json": PERSON}, extra_args={"grammar_engine": settings})
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "--logits-processors"),
        ({"logits_processors": ["a.b:C"]}, "--logits-processors"),
        ({"logits_processors": [plugin.PROCESSOR], "speculative_config": object()}, "speculative decoding"),
        ({"logits_processors": [plugin.PROCESSOR]}, None),
        (
            {
                "logits_processors": [plugin.PROCESSOR],
                "speculative_config": object(),
                "use_v2_model_runner": True,
            },
            None,
        ),
    ],
)
def test_settings_are_refused_where_no_processor_would_see_them(
    served: dict[str, types.ModuleType], tiny_pair: tuple[Any, Any], options: dict[str, Any], message: str | None
) -> None:
    inputs = front_end(served, configured(tiny_pair[1], "auto", **options))
    inputs._validate_params(sampling(served, None))
    params = constrained(served, {"regex": "a"}, 0)
    if message is None:
        inputs._validate_params(params)
    else:
        with pytest.raises(stub.VLLMValidationError, match=message):
            inputs._validate_params(params)


def test_a_class_is_as_good_as_its_name(served: dict[str, types.ModuleType], tiny_pair: tuple[Any, Any]) -> None:
    from grammar_engine.integrations.vllm_processor import GrammarLogitsProcessor

    inputs = front_end(served, configured(tiny_pair[1], "auto", logits_processors=[GrammarLogitsProcessor]))
    inputs._validate_params(constrained(served, {"regex": "a"}, 0))
