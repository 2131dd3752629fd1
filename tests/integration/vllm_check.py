"""The vLLM integration against vLLM itself, with the embedded model: `make test-vllm` (minutes, not in `make test`).

    python tests/integration/vllm_check.py [protocol] [offline] [speculative] [processor] [server]

Runs in an environment of its own that holds vLLM and this package. Each stage is a process, since vLLM's engines do not
leave one behind as they found it. What came out is checked by jsonschema, re and Lark.
"""

from __future__ import annotations

import json
import os
import random
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    # This environment's numba is not the checkout's, and they would overwrite each other's compiled kernels.
    "NUMBA_CACHE_DIR": str(Path(sys.prefix) / "numba"),
    # vLLM binds a thread to each core, and numba, in its n-gram drafts, wakes as many: on a busy machine they wait for
    # one another far longer than they work.
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
}
PORT = 8377
PROCESSOR = "grammar_engine.integrations.vllm_processor:GrammarLogitsProcessor"
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "tags": {"type": "array", "items": {"enum": ["kind", "tall", "old"]}, "uniqueItems": True, "maxItems": 3},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}
DATES = 'start: DATE ("," DATE)*\nDATE: /[0-9]{4}-[0-1][0-9]-[0-3][0-9]/\n'
PRODUCT = 'start: NUMBER ("*" NUMBER)~1..3\nNUMBER: /[1-9][0-9]{0,2}/\n'
SUM = 'root ::= term ("+" term){1,4}\nterm ::= [1-9] [0-9]{0,2}'
CALL = {
    "type": "structural_tag",
    "format": {
        "type": "triggered_tags",
        "triggers": ["<call>"],
        "tags": [
            {
                "type": "tag",
                "begin": "<call>",
                "content": {"type": "json_schema", "json_schema": PERSON},
                "end": "</call>",
            },
        ],
        "at_least_one": True,
        "stop_after_first": True,
    },
}
# Free text, then calls with free text between them, for as long as the model goes on.
CALLS = {
    "type": "structural_tag",
    "format": {
        "type": "triggered_tags",
        "triggers": ["<call>"],
        "tags": [{"begin": "<call>", "content": {"type": "json_schema", "json_schema": PERSON}, "end": "</call>"}],
    },
}
TEXT_AND_CALL = {
    "type": "structural_tag",
    "format": {
        "type": "sequence",
        "elements": [
            {"type": "regex", "pattern": "[A-Z][a-z ]{4,30}:"},
            {"type": "triggered_tags", **{key: CALL["format"][key] for key in ("triggers", "tags", "at_least_one")}},
        ],
    },
}
# What xgrammar, which vLLM's server asks first, does not read.
LARK_IN_A_TAG = {
    "type": "structural_tag",
    "format": {
        "type": "tag",
        "begin": "<product>",
        "content": {"type": "grammar", "grammar": PRODUCT},
        "end": "</product>",
    },
}
TOOL = {"type": "function", "function": {"name": "describe", "parameters": PERSON, "strict": True}}
ASK = [{"role": "user", "content": "Describe a person as JSON."}]


def valid(schema: Any, text: str) -> bool:
    import jsonschema

    return jsonschema.Draft202012Validator(schema).is_valid(json.loads(text))


def lark_reads(grammar: str, text: str) -> bool:
    import lark

    try:
        lark.Lark(grammar).parse(text)
    except lark.exceptions.LarkError:
        return False
    return True


def called(text: str) -> bool:
    return text.startswith("<call>") and text.endswith("</call>") and valid(PERSON, text[6:-7])


def calls_are_right(text: str) -> bool:
    """Whether every call in a text that may have been cut is right; the last one may be cut itself."""
    *whole, last = text.split("<call>")[1:] or [""]
    return all("</call>" in part for part in whole) and all(
        valid(PERSON, part.partition("</call>")[0]) for part in (*whole, last) if "</call>" in part
    )


def text_and_call(text: str) -> bool:
    head = re.match("[A-Z][a-z ]{4,30}:<call>", text)
    return head is not None and calls_are_right(text)


KINDS: dict[str, tuple[dict[str, Any], Callable[[str], bool]]] = {
    "json": ({"json": PERSON}, lambda text: valid(PERSON, text)),
    "json_object": ({"json_object": True}, lambda text: isinstance(json.loads(text), dict)),
    "regex": ({"regex": r"[0-9]{3}-[A-Z]{2}"}, lambda text: bool(re.fullmatch(r"[0-9]{3}-[A-Z]{2}", text))),
    "choice": ({"choice": ["positive", "negative"]}, lambda text: text in {"positive", "negative"}),
    "lark": ({"grammar": DATES}, lambda text: lark_reads(DATES, text)),
    "structural_tag": ({"structural_tag": json.dumps(CALL)}, called),
    "calls_in_text": ({"structural_tag": json.dumps(CALLS)}, calls_are_right),
    "text_and_call": ({"structural_tag": json.dumps(TEXT_AND_CALL)}, text_and_call),
    "lark_in_a_tag": (
        {"structural_tag": json.dumps(LARK_IN_A_TAG)},
        lambda text: text[:9] + text[-10:] == "<product></product>" and lark_reads(PRODUCT, text[9:-10]),
    ),
    "ebnf": ({"grammar": SUM}, lambda text: bool(re.fullmatch(r"[1-9][0-9]{0,2}(\+[1-9][0-9]{0,2}){1,4}", text))),
}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "schema": ({"json": {"type": "strin"}}, "not 'strin' (at /type)"),
    "empty language": ({"json": {"type": "integer", "minimum": 3, "maximum": 2}}, "nothing can satisfy"),
    "regex": ({"regex": "(a"}, "unterminated subpattern"),
    "back-reference": ({"regex": r"(a)\1"}, "is not supported"),
    "grammar": ({"grammar": "start: x\n"}, "used but not defined"),
    "structural tag": (
        {"structural_tag": json.dumps({**CALL, "format": {**CALL["format"], "triggers": ["<tool>"]}})},
        "no trigger is the beginning of its begin (at /format/tags/0)",
    ),
    "schema in a structural tag": (
        {"structural_tag": json.dumps(CALL).replace('"integer"', '"intege"')},
        "not 'intege' (at /format/tags/0/content",
    ),
    "path": ({"grammar": "/etc/secret.lark"}, "the path of a grammar is not supported"),
}


def check(holds: bool, what: str) -> None:
    if not holds:
        raise SystemExit(f"FAILED: {what}")
    print(f"  ok  {what[:150]}", flush=True)


def model() -> str:
    from grammar_engine.embedded import fetch

    return str(fetch())


def engine(**options: Any) -> Any:
    from grammar_engine.integrations.vllm import register

    register()
    from vllm import LLM

    chosen = {"structured_outputs_config": {"backend": "grammar-engine"}, **options}
    return LLM(model(), enforce_eager=True, max_model_len=1024, max_num_seqs=8, **chosen)


def sampling(constraint: dict[str, Any] | None, **options: Any) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import StructuredOutputsParams

    asked = None if constraint is None else StructuredOutputsParams(**constraint)
    return SamplingParams(**{"max_tokens": 300, "temperature": 0.0, "structured_outputs": asked, **options})


def answers(llm: Any, params: list[Any]) -> list[Any]:
    return [output.outputs[0] for output in llm.chat([ASK] * len(params), params, use_tqdm=False)]


def right(kind: str, text: str, ended: bool) -> bool:
    """Whether the text is in its language. Some need never end, and are right as far as they go."""
    accepts = KINDS[kind][1]
    if ended:
        return accepts(text)
    return kind in {"lark", "json_object"} or (kind in {"calls_in_text", "text_and_call"} and accepts(text))


def check_kinds(llm: Any, **options: Any) -> None:
    params = [sampling(constraint, **options) for constraint, _ in KINDS.values()]
    for kind, answer in zip(KINDS, answers(llm, params), strict=True):
        ended = answer.finish_reason == "stop"
        check(right(kind, answer.text, ended), f"{kind}, {answer.finish_reason}: {answer.text!r}")


def protocol() -> None:
    """vLLM's own manager, fed random drafts and tokens, beside a matcher that is led through the same text afresh."""
    from grammar_engine.integrations.vllm import register

    register()
    from vllm.config.structured_outputs import StructuredOutputsConfig
    from vllm.tokenizers import get_tokenizer
    from vllm.v1.structured_output import StructuredOutputManager
    from vllm.v1.structured_output.backend_types import StructuredOutputOptions

    import grammar_engine as ge

    tokenizer, drafts = get_tokenizer(model()), 4
    config: Any = SimpleNamespace(
        model_config=SimpleNamespace(
            skip_tokenizer_init=True, is_diffusion=False, get_vocab_size=lambda: 49152, hf_config=None
        ),
        parallel_config=SimpleNamespace(distributed_executor_backend="uni"),
        scheduler_config=SimpleNamespace(max_num_seqs=4),
        structured_outputs_config=StructuredOutputsConfig(backend="grammar-engine"),
        num_speculative_tokens=drafts,
    )
    manager = StructuredOutputManager(config)
    from grammar_engine.integrations.vllm_backend import GrammarEngineBackend

    manager.backend = GrammarEngineBackend(config, tokenizer=tokenizer, vocab_size=49152)
    rng = random.Random(0)
    steps = compared = 0
    for round_ in range(30):
        grammar = manager.backend.compile_grammar(StructuredOutputOptions.JSON, json.dumps(PERSON), {2})
        compiled = ge.GrammarCompiler(grammar._text.compiled.vocabulary).compile_json_schema(PERSON)
        request: Any = SimpleNamespace(
            request_id="r", use_structured_output=True, prompt_token_ids=[1], all_token_ids=[1],
            structured_output_request=SimpleNamespace(grammar=grammar, reasoning_ended=True, reasoner=None),
        )  # fmt: skip
        text: list[int] = []
        while len(text) < 60 and not grammar.is_terminated():
            proposed = propose(compiled, text, drafts, rng)
            kept = manager.validate_tokens(request, proposed)
            expected = ge.Matcher(compiled)
            lead(expected, text)
            count = expected.validate_tokens([i for i in proposed if i >= 0][: len(proposed)])
            stop_at = proposed.index(2) + 1 if 2 in proposed[:count] else count
            assert kept == proposed[: min(count, stop_at)], (round_, proposed, kept)
            padded = kept + [-1] * (drafts - len(kept))
            rows = manager.grammar_bitmask({"r": request}, ["r"], {"r": padded})
            for number in range(len(kept) + 1):
                compared += 1
                expected = ge.Matcher(compiled)
                lead(expected, text + kept[:number])
                row = ge.allocate_token_bitmask(1, 49152)
                if not expected.is_terminated():
                    expected.fill_next_token_bitmask(row)
                    row[0, 0] &= ~1  # <|endoftext|>, at which this request does not end
                assert np.array_equal(rows[number], row[0]), (round_, text, kept[:number])
            sampled = kept[: rng.randint(0, len(kept))]
            if 2 not in sampled:
                following = ge.Matcher(compiled)
                lead(following, text + sampled)
                choices = [int(i) for i in following.allowed_token_ids() if i != 0]
                sampled.append(2 if 2 in choices and rng.random() < 0.5 else rng.choice(choices))
            assert manager.accept_tokens(request, sampled)
            text += sampled
            steps += 1
    check(steps > 200, f"{steps} steps with drafts, {compared} masks equal to those of a fresh matcher")


def propose(compiled: Any, text: list[int], number: int, rng: random.Random) -> list[int]:
    """Drafts: allowed ones, sometimes a wrong one, sometimes padding."""
    import grammar_engine as ge

    matcher = ge.Matcher(compiled)
    lead(matcher, text)
    drafts: list[int] = []
    for _ in range(number):
        choices = matcher.allowed_token_ids()
        token = int(rng.choice(choices)) if len(choices) and rng.random() < 0.85 else rng.randrange(49152)
        if token == 0:
            token = 2
        drafts.append(token)
        if not matcher.accept_token(token):
            break
    if rng.random() < 0.3:
        drafts = drafts[: rng.randint(0, len(drafts))]
        drafts += [-1] * (number - len(drafts))
    return drafts


def lead(matcher: Any, text: list[int]) -> None:
    for token in text:
        assert matcher.accept_token(token)


def offline() -> None:
    llm = engine()
    check_kinds(llm)
    check_kinds(llm, temperature=1.0, seed=3)
    for what, (constraint, message) in REFUSED.items():
        check(message in refusal(lambda c=constraint: answers(llm, [sampling(c)])), f"refused: {what}")
    why = refusal(lambda: answers(llm, [sampling(KINDS["json"][0], ignore_eos=True)]))
    check("ignore_eos" in why, "refused: ignore_eos")
    why = refusal(lambda: answers(llm, [sampling(None, extra_args={"grammar_engine": {"regex": "a"}})]))
    check("--logits-processors" in why, "refused: settings for a processor that does not run")
    brace = llm.get_tokenizer().encode("}", add_special_tokens=False)
    answer = answers(llm, [sampling(KINDS["json"][0], stop_token_ids=brace, include_stop_str_in_output=True)])[0]
    check(valid(PERSON, answer.text) or valid(PERSON, answer.text[:-1]), f"own stop token: {answer.text!r}")
    mixed = answers(llm, [sampling(None, max_tokens=12), sampling(KINDS["json"][0])] * 3)
    check(all(valid(PERSON, answer.text) for answer in mixed[1::2]), "beside unconstrained requests")


def refusal(call: Callable[[], Any]) -> str:
    from vllm.exceptions import VLLMValidationError

    try:
        call()
    except VLLMValidationError as error:
        return str(error)
    return ""


def speculative() -> None:
    plain = engine(structured_outputs_config={"backend": "grammar-engine", "disable_any_whitespace": True})
    params = [sampling(KINDS["json"][0])]
    without = answers(plain, params)[0]
    check(without.text == json.dumps(json.loads(without.text), separators=(",", ":"), ensure_ascii=False), "compact")
    del plain
    llm = engine(
        speculative_config={
            "method": "ngram",
            "num_speculative_tokens": 4,
            "prompt_lookup_max": 3,
            "prompt_lookup_min": 1,
        },
        disable_log_stats=False,
        structured_outputs_config={"backend": "grammar-engine", "disable_any_whitespace": True},
    )
    check_kinds(llm)
    check_kinds(llm, temperature=1.0, seed=3)
    check(answers(llm, params)[0].text == without.text, "greedy text is that without drafts")
    counters = {metric.name: getattr(metric, "value", 0) for metric in llm.get_metrics()}
    drafted = int(counters.get("vllm:spec_decode_num_draft_tokens", 0))
    accepted = int(counters.get("vllm:spec_decode_num_accepted_tokens", 0))
    check(accepted > 0, f"{accepted} of {drafted} drafts accepted")


def processor() -> None:
    llm = engine(logits_processors=[PROCESSOR], structured_outputs_config={"backend": "auto"})

    def asked(settings: Any, **options: Any) -> Any:
        return sampling(None, extra_args={"grammar_engine": settings}, **options)

    params = [
        asked({"json_schema": PERSON, "indent": 2}),
        asked({"json_schema": PERSON}, temperature=1.0, seed=1),
        sampling(None, max_tokens=9),
        asked(json.dumps({"regex": "[0-9]{4}"})),
        asked({"grammar": SUM}),
        asked({"choices": ["positive", "negative"]}, min_tokens=2),
        asked({"structural_tag": CALL}),
    ]
    results = answers(llm, params)
    data = json.loads(results[0].text)
    check(
        valid(PERSON, results[0].text) and results[0].text == json.dumps(data, indent=2, ensure_ascii=False), "indent"
    )
    check(valid(PERSON, results[1].text), f"sampled: {results[1].text!r}")
    check(bool(re.fullmatch("[0-9]{4}", results[3].text)), f"regex as JSON text: {results[3].text}")
    check(KINDS["ebnf"][1](results[4].text), f"ebnf: {results[4].text}")
    check(results[5].text in {"positive", "negative"}, f"against min_tokens: {results[5].text}")
    check(called(results[6].text), f"structural tag: {results[6].text!r}")
    for settings, message in (
        ({"json_schema": {"type": "strin"}}, "not 'strin' (at /type)"),
        ({"json_schema": {}, "regex": "a"}, "exactly one of"),
        ({"regex": "a", "indent": 2}, "no option beside"),
        ("nonsense", "not a JSON object"),
    ):
        why = refusal(lambda s=settings: answers(llm, [asked(s)]))
        check(message in why, f"refused: {message}")
    many = [asked({"json_schema": PERSON}, temperature=1.0, seed=i, max_tokens=100 + 20 * i) for i in range(20)]
    done = [answer for answer in answers(llm, many) if answer.finish_reason == "stop"]
    check(bool(done) and all(valid(PERSON, answer.text) for answer in done), f"{len(done)} of 20 moved between rows")


def post(path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{PORT}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=300) as response:  # noqa: S310
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"{}")


@contextmanager
def serving(*arguments: str) -> Iterator[None]:
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", model(), "--port", str(PORT)]
    command += ["--served-model-name", "smollm2", "--enforce-eager", "--max-model-len", "1024", "--max-num-seqs", "8"]
    with socket.socket() as probe:  # else a server that is there already would answer
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", PORT))
    # -m looks in the current folder first, and a checkout's root holds half of this package.
    with subprocess.Popen([*command, *arguments], cwd=Path(__file__).parent) as process:
        try:
            for _ in range(300):
                if process.poll() is not None:
                    raise SystemExit("FAILED: the server ended")
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health", timeout=5)
                    break
                except OSError:
                    time.sleep(1)
            yield
        finally:
            process.terminate()


def server() -> None:
    options = ["--structured-outputs-config.backend", "grammar-engine", "--logits-processors", PROCESSOR]
    with serving(*options, "--enable-auto-tool-choice", "--tool-call-parser", "hermes"):

        def chat(**fields: Any) -> tuple[int, Any]:
            return post("/v1/chat/completions", {"model": "smollm2", "messages": ASK, "max_tokens": 300, **fields})

        def text(status: int, body: Any) -> str:
            check(status == 200, f"status {status} {'' if status == 200 else body}")
            return str(body["choices"][0]["message"]["content"])

        named = {"name": "person", "schema": PERSON, "strict": True}
        got = text(*chat(temperature=0, response_format={"type": "json_schema", "json_schema": named}))
        check(valid(PERSON, got), f"response_format json_schema: {got!r}")
        status, body = chat(temperature=0, response_format={"type": "json_object"})
        ended = body["choices"][0]["finish_reason"] == "stop"
        got = text(status, body)
        check(not ended or isinstance(json.loads(got), dict), f"response_format json_object: {got[:80]!r}")
        got = text(*chat(temperature=0, response_format=CALL))
        check(called(got), f"response_format structural_tag: {got!r}")
        for kind, (constraint, _) in KINDS.items():
            status, body = chat(temperature=0, structured_outputs=constraint)
            got = text(status, body)
            ended = body["choices"][0]["finish_reason"] == "stop"
            check(right(kind, got, ended), f"structured_outputs {kind}: {got!r}")
        status, body = chat(
            temperature=0, tools=[TOOL], tool_choice={"type": "function", "function": {"name": "describe"}}
        )
        check(status == 200, f"status {status} {'' if status == 200 else body}")
        got = body["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"]
        check(valid(PERSON, got), f"a named tool's arguments: {got!r}")
        settings = json.dumps({"json_schema": PERSON, "indent": 2})
        got = text(*chat(temperature=0, vllm_xargs={"grammar_engine": settings}))
        check(valid(PERSON, got) and "\n  " in got, f"vllm_xargs: {got!r}")
        for what, (constraint, message) in REFUSED.items():
            status, body = chat(structured_outputs=constraint)
            check(status == 400 and message in json.dumps(body, ensure_ascii=False), f"400: {what}")
        status, body = chat(response_format={**CALL, "format": {"type": "nonsense"}})
        check(status == 400 and "nonsense" in json.dumps(body), f"400: response_format structural_tag: {body}")
        bad = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "strin"}}}
        status, body = chat(response_format=bad)
        check(status == 400 and "not 'strin' (at /type)" in json.dumps(body), "400: response_format")
        status, body = chat(vllm_xargs={"grammar_engine": json.dumps({"json_schema": {"type": "strin"}})})
        check(status == 400 and "not 'strin' (at /type)" in json.dumps(body), "400: vllm_xargs")


STAGES: dict[str, Callable[[], None]] = {
    "protocol": protocol,
    "offline": offline,
    "speculative": speculative,
    "processor": processor,
    "server": server,
}


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--stage"]:
        STAGES[arguments[1]]()
        return
    for stage in arguments or list(STAGES):
        if stage not in STAGES:
            raise SystemExit(f"no stage {stage!r}; there are {', '.join(STAGES)}")
        print(f"{stage}:", flush=True)
        started = time.monotonic()
        command = [sys.executable, __file__, "--stage", stage]
        if subprocess.run(command, env={**os.environ, **ENVIRONMENT}, check=False).returncode:
            raise SystemExit(f"stage {stage} failed")
        print(f"{stage}: {time.monotonic() - started:.0f} s", flush=True)
    print("all stages passed:", Path(__file__).name)


if __name__ == "__main__":
    main(sys.argv[1:])
