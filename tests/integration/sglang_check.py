"""The SGLang integration in SGLang's own modules, with the embedded model's tokenizer: `make test-sglang`.

No SGLang server runs here, since it needs a GPU; but its plugin loader, its grammar manager, its traversal of draft
trees and its batched masks are the real ones. A package that they import and do not need is stood in for.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.metadata
import json
import random
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np

ABSENT = ("torchvision",)
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 9}, "age": {"type": "integer", "maximum": 99}},
    "required": ["name", "age"],
    "additionalProperties": False,
}

CALL = {
    "type": "structural_tag",
    "format": {
        "type": "triggered_tags",
        "triggers": ["<call>"],
        "tags": [{"begin": "<call>", "content": {"type": "json_schema", "json_schema": PERSON}, "end": "</call>"}],
        "stop_after_first": True,
    },
}


class _Absent(types.ModuleType):
    __path__: Sequence[str] = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return mock.MagicMock(name=f"{self.__name__}.{name}")


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name: str, *_: Any) -> importlib.machinery.ModuleSpec | None:
        absent = name.partition(".")[0] in ABSENT
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if absent else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _Absent(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing is in it."""


def prepare() -> None:
    """Let SGLang be imported from beside the environment's packages."""
    version = importlib.metadata.version
    importlib.metadata.version = lambda name: "0.20.0" if name in ABSENT else version(name)  # type: ignore[assignment]
    sys.meta_path.insert(0, _Finder())
    sys.path.append(str(Path(sys.prefix) / "sglang"))


def check(holds: bool, what: str) -> None:
    if not holds:
        raise SystemExit(f"FAILED: {what}")
    print(f"  ok  {what}", flush=True)


def main() -> None:
    prepare()
    import torch
    from sglang.srt.arg_groups.choices import GRAMMAR_BACKEND_CHOICES
    from sglang.srt.constrained import base_grammar_backend, grammar_manager
    from sglang.srt.plugins import load_plugins
    from sglang.srt.sampling.sampling_batch_info import SamplingBatchInfo
    from sglang.srt.speculative.spec_utils import generate_token_bitmask
    from transformers import AutoTokenizer

    import grammar_engine as ge
    from grammar_engine.embedded import fetch

    load_plugins()
    check("grammar-engine" in GRAMMAR_BACKEND_CHOICES, "the plugin is found and the backend has a name")

    tokenizer = AutoTokenizer.from_pretrained(fetch())
    tokenizer.additional_stop_token_ids = None
    size, end = 49152, 2
    serving = SimpleNamespace(
        reasoning_parser=None, enable_strict_thinking=False, skip_tokenizer_init=False,
        constrained_json_whitespace_pattern=None, constrained_json_disable_any_whitespace=False,
        constrained_json_max_whitespace_cnt=None,
    )  # fmt: skip
    scheduler: Any = SimpleNamespace(
        server_args=SimpleNamespace(), tokenizer=tokenizer, dp_tp_cpu_group=None, pp_group=None,
        model_config=SimpleNamespace(vocab_size=size, hf_eos_token_id={end}, think_end_ids=None),
        dp_tp_group=SimpleNamespace(world_size=1, first_rank=0, is_first_rank=True),
    )  # fmt: skip
    execution = SimpleNamespace(kernel=SimpleNamespace(grammar_backend="grammar-engine"))
    with (
        mock.patch.object(base_grammar_backend, "get_exec", return_value=execution),
        mock.patch.object(base_grammar_backend, "get_serving", return_value=serving),
        mock.patch.object(grammar_manager, "get_serving", return_value=serving),
        mock.patch("sglang.srt.runtime_context.get_serving", return_value=serving),
        mock.patch.object(grammar_manager, "get_parallel", return_value=SimpleNamespace(pp_rank=0, pp_size=1)),
    ):
        manager = grammar_manager.GrammarManager(scheduler)
        check(type(manager.grammar_backend).__name__ == "GrammarEngineBackend", "SGLang makes our backend")

        def ask(**fields: Any) -> Any:
            wanted = {"json_schema": None, "regex": None, "ebnf": None, "structural_tag": None, **fields}
            request = SimpleNamespace(
                sampling_params=SimpleNamespace(custom_params=None, ebnf_full_assistant=False, **wanted),
                origin_input_ids=[1], require_reasoning=False, grammar=None, grammar_key=None, grammar_wait_ct=0,
                abort=None, rid="r", finished=lambda: False,
            )  # fmt: skip
            request.set_finish_with_abort = lambda message: setattr(request, "abort", message)
            if manager.process_req_with_grammar(request):
                while request not in manager.get_ready_grammar_requests():
                    pass
            return request

        for wanted, text in (
            ({"json_schema": json.dumps(PERSON)}, '{"name": "Ada", "age": 36}'),
            ({"json_schema": "$$ANY$$"}, "[1, null]"),
            ({"regex": "[0-9]{3}-[A-Z]"}, "123-Z"),
            ({"ebnf": 'root ::= "a"+ "b"'}, "aab"),
            ({"structural_tag": json.dumps(CALL)}, 'Then <call>{"name": "Ada", "age": 36}</call>'),
        ):
            for _ in range(2):  # the second is a copy from SGLang's cache
                grammar = ask(**wanted).grammar
                for token in [*tokenizer.encode(text, add_special_tokens=False), end]:
                    check(not grammar.is_terminated(), f"{text} goes on") if token == end else None
                    grammar.accept_token(token)
                check(grammar.is_terminated(), f"{next(iter(wanted))}: {text}")
        for wanted, message in (
            ({"json_schema": '{"type": "strin"}'}, "not 'strin' (at /type)"),
            ({"regex": "("}, "unterminated subpattern"),
            (
                {"structural_tag": json.dumps(CALL).replace("integer", "intege")},
                "not 'intege' (at /format/tags/0/content",
            ),
            ({"ebnf": "start: x\n"}, "used but not defined"),
        ):
            check(message in str(ask(**wanted).abort), f"refused: {message}")

        compiled = ge.GrammarCompiler(manager.grammar_backend._compiler.vocabulary).compile_json_schema(PERSON)
        rng = random.Random(0)
        compared = 0
        for _ in range(4):
            grammar = ask(json_schema=json.dumps(PERSON)).grammar
            text_ids: list[int] = []
            while not grammar.is_terminated() and len(text_ids) < 25:
                drafts, parents, paths = [-1], [-1], [text_ids]
                for node in range(1, 9):
                    parent = rng.randrange(node)
                    choices = next_ids(compiled, paths[parent], end)
                    token = rng.choice(choices) if choices and rng.random() < 0.8 else rng.randrange(size)
                    drafts.append(token)
                    parents.append(parent)
                    paths.append([*paths[parent], token])
                links = tree(parents)
                request = SimpleNamespace(grammar=grammar)
                masks, _ = generate_token_bitmask([request], *links, torch.tensor([drafts]), size)
                for node, path in enumerate(paths):
                    if end in path or not leads(compiled, path, end):
                        continue
                    compared += 1
                    bits = masks[node].numpy().view("uint8")
                    got = np.flatnonzero(np.unpackbits(bits, bitorder="little")).tolist()
                    assert got == next_ids(compiled, path, end), path
                token = rng.choice(next_ids(compiled, text_ids, end))
                grammar.accept_token(token)
                text_ids.append(token)
        check(compared > 200, f"{compared} masks of draft trees equal those of a fresh matcher")

        info = SamplingBatchInfo.__new__(SamplingBatchInfo)
        first = ask(regex="[0-9]{3}-[A-Z]").grammar
        done = ask(regex="[0-9]{3}-[A-Z]").grammar
        done.finished = True
        info.grammars, info.temperatures, info.vocab_size, info.device = [None, first, done], [1, 1, 1], size, "cpu"
        info.update_regex_vocab_mask()
        logits = torch.zeros(3, size)
        info.grammar_mask.apply(logits)
        digits = [tokenizer.convert_tokens_to_ids(str(digit)) for digit in range(10)]
        allowed = torch.isfinite(logits).sum(1).tolist()
        check(allowed[0] == allowed[2] == size, "rows without a grammar are left alone")
        check(all(logits[1, digit] == 0 for digit in digits) and allowed[1] < 40, "a batch's mask is applied")
    print("all checks passed:", Path(__file__).name)


def next_ids(compiled: Any, path: list[int], end: int) -> list[int]:
    import grammar_engine as ge

    matcher = ge.Matcher(compiled)
    if not all(matcher.accept_token(token) for token in path):
        return []
    allowed = matcher.allowed_token_ids()
    return [int(i) for i in allowed[~np.isin(allowed, [i for i in compiled.vocabulary.stop_token_ids if i != end])]]


def leads(compiled: Any, path: list[int], end: int) -> bool:
    import grammar_engine as ge

    stops = set(compiled.vocabulary.stop_token_ids) - {end}
    matcher = ge.Matcher(compiled)
    return all(token not in stops and matcher.accept_token(token) for token in path)


def tree(parents: list[int]) -> tuple[Any, Any]:
    """SGLang's links: a node's first child and its next sibling."""
    import torch

    child, sibling = [-1] * len(parents), [-1] * len(parents)
    for node in range(len(parents) - 1, 0, -1):
        sibling[node] = child[parents[node]]
        child[parents[node]] = node
    return torch.tensor([child]), torch.tensor([sibling])


if __name__ == "__main__":
    main()
