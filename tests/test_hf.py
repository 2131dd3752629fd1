"""The logits processor inside transformers' own ``generate``: every mode, every row in the language.

Greedy modes are also compared with the package's own loop, which knows nothing of rows and prefixes.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra hf")
pytest.importorskip("transformers", reason="needs the extra hf")

from grammar_engine.errors import InvalidArgumentError
from grammar_engine.integrations.hf import GrammarLogitsProcessor
from grammar_engine.integrations.hf_generate import ConstrainedGenerate
from grammar_engine.matcher import Matcher
from grammar_engine.runtime import DecodingRun, Request
from grammar_engine.sampling import Greedy

PATTERN = r"(The|Once) [a-z ]{3,30}(\.|!)"
PROMPTS = ["The", "Once upon a time there was a town. The quick brown fox", "yes no 日本"]


@pytest.fixture
def processor(tiny_model: Any) -> GrammarLogitsProcessor:
    return GrammarLogitsProcessor(tiny_model.compiler.compile_regex(PATTERN))


def texts(model: Any, prompts: list[str], processor: GrammarLogitsProcessor, **options: Any) -> list[str]:
    inputs = model.tokenizer(prompts, return_tensors="pt", padding=True)
    settings = {"max_new_tokens": 60, "do_sample": False, **options}
    with torch.no_grad():
        output = model.network.generate(
            input_ids=inputs.input_ids, attention_mask=inputs.attention_mask, logits_processor=[processor], **settings
        )
    rows = output[:, inputs.input_ids.shape[1] :].tolist()
    stop = model.tokenizer.eos_token_id
    return [
        model.vocabulary.decode(row[: row.index(stop)] if stop in row else row).decode("utf-8", "replace")
        for row in rows
    ]


def own_greedy(model: Any, prompts: list[str], pattern: str) -> list[str]:
    compiled = model.compiler.compile_regex(pattern)
    requests = [
        Request(prompt_ids=model.encode(p), matcher=Matcher(compiled), max_tokens=60, steer=False) for p in prompts
    ]
    decoding = DecodingRun(model.network, model.vocabulary, requests, Greedy())
    list(decoding)
    return [outcome.text for outcome in decoding.outcomes]


def test_greedy_batch_with_left_padding(tiny_model: Any, processor: GrammarLogitsProcessor) -> None:
    result = texts(tiny_model, PROMPTS, processor)
    assert result == own_greedy(tiny_model, PROMPTS, PATTERN)
    assert all(re.fullmatch(PATTERN, text) for text in result)


def test_used_again_with_other_and_equal_prompts(tiny_model: Any, processor: GrammarLogitsProcessor) -> None:
    expected = own_greedy(tiny_model, PROMPTS, PATTERN)
    for order in ([0], [0], [1], [2], [0, 1, 2], [0, 1], [2, 1, 0]):
        assert texts(tiny_model, [PROMPTS[i] for i in order], processor) == [expected[i] for i in order]


@pytest.mark.parametrize(
    "options",
    [
        {"do_sample": True, "temperature": 1.5},
        {"do_sample": True, "num_return_sequences": 4, "top_k": 5},
        {"num_beams": 4},
        {"num_beams": 4, "num_return_sequences": 3},
        {"num_beams": 3, "do_sample": True, "temperature": 2.0},
        {"num_beams": 4, "early_stopping": True, "length_penalty": -1.0},
    ],
    ids=str,
)
def test_every_row_is_in_the_language(
    tiny_model: Any, processor: GrammarLogitsProcessor, options: dict[str, Any]
) -> None:
    torch.manual_seed(1)
    result = texts(tiny_model, PROMPTS, processor, **options)
    assert len(result) == len(PROMPTS) * options.get("num_return_sequences", 1)
    for text in result:
        assert re.fullmatch(PATTERN, text), text


def test_beams_find_at_least_the_greedy_score(tiny_model: Any, processor: GrammarLogitsProcessor) -> None:
    """With rows mixed up the beams would be scored under wrong masks; the best beam may not be worse than greedy."""
    inputs = tiny_model.tokenizer([PROMPTS[1]], return_tensors="pt")
    settings = {"max_new_tokens": 60, "length_penalty": 0.0, "output_scores": True, "return_dict_in_generate": True}
    pattern = "[a-d]{6}"
    compiled = tiny_model.compiler.compile_regex(pattern)
    beams = tiny_model.network.generate(
        **inputs, num_beams=32, do_sample=False, logits_processor=[GrammarLogitsProcessor(compiled)], **settings
    )
    ids = beams.sequences[0, inputs.input_ids.shape[1] :].tolist()
    stop = tiny_model.tokenizer.eos_token_id
    assert re.fullmatch(pattern, tiny_model.vocabulary.decode(ids[: ids.index(stop)]).decode())
    assert float(beams.sequences_scores[0]) == pytest.approx(
        _score(tiny_model, inputs.input_ids[0].tolist(), ids), abs=1e-2
    )


def _score(model: Any, prompt: list[int], generated: list[int]) -> float:
    """Σ log p(token), model alone: what ``sequences_scores`` is with length_penalty 0, masks only removing rivals."""
    total = 0.0
    for i, token_id in enumerate(generated):
        with torch.no_grad():
            logits = model.network(torch.tensor([prompt + generated[:i]])).logits[0, -1]
        total += float(logits.log_softmax(-1)[token_id])
        if token_id == model.tokenizer.eos_token_id:
            break
    return total


@pytest.mark.parametrize("prompt", PROMPTS)
def test_prompt_lookup_equals_greedy(tiny_model: Any, processor: GrammarLogitsProcessor, prompt: str) -> None:
    result = texts(tiny_model, [prompt], processor, prompt_lookup_num_tokens=4)
    assert result == own_greedy(tiny_model, [prompt], PATTERN)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_assisted_equals_greedy(
    tiny_model: Any, tiny_pair: Any, processor: GrammarLogitsProcessor, prompt: str
) -> None:
    import transformers

    torch.manual_seed(3)
    network, _ = tiny_pair
    assistant = transformers.LlamaForCausalLM(network.config).eval()
    with torch.no_grad():
        for mine, theirs in zip(assistant.parameters(), network.parameters(), strict=True):
            mine.copy_(theirs + 0.05 * torch.randn_like(theirs))
    result = texts(tiny_model, [prompt], processor, assistant_model=assistant)
    assert result == own_greedy(tiny_model, [prompt], PATTERN)


def test_one_grammar_per_prompt(tiny_model: Any) -> None:
    compiler = tiny_model.compiler
    grammars = [compiler.compile_regex(PATTERN), None, compiler.compile_regex("[0-9]{3}")]
    free = texts(tiny_model, PROMPTS, GrammarLogitsProcessor([None, None, compiler.compile_regex("x")]))
    result = texts(tiny_model, PROMPTS, GrammarLogitsProcessor(grammars), num_return_sequences=1)
    assert re.fullmatch(PATTERN, result[0])
    assert result[1] == free[1]
    assert re.fullmatch("[0-9]{3}", result[2])
    with pytest.raises(InvalidArgumentError, match="rows"):
        texts(tiny_model, PROMPTS[:2], GrammarLogitsProcessor(grammars))


def test_scores_stay_untouched_and_no_row_is_silent(tiny_model: Any) -> None:
    compiled = tiny_model.compiler.compile_regex("ab")
    processor = GrammarLogitsProcessor(compiled)
    a, b = (tiny_model.encode(c)[0] for c in "ab")
    stop = tiny_model.tokenizer.eos_token_id
    scores = torch.randn(1, 512)
    before = scores.clone()
    prompt = [5, 6, 7]

    def allowed(*generated: int) -> list[int]:
        masked = processor(torch.tensor([[*prompt, *generated]]), scores)
        assert torch.equal(scores, before)
        assert bool(masked.isfinite().any())
        return masked[0].isfinite().nonzero()[:, 0].tolist()

    start = allowed()
    assert a in start
    assert b not in start
    assert allowed(a) == [b]
    assert allowed(a, b) == [stop]
    assert allowed(a, b, stop) == [stop]
    assert allowed(a, b, stop, stop) == [stop]
    assert allowed(a) == [b], "lengths go back"
    assert allowed(a, 9) == [stop], "behind a draft token that the grammar refuses"
    assert allowed(a, 9, b) == [stop]
    assert allowed(a, b) == [stop]
    assert allowed() == start


def test_the_grammar_wins_over_a_processor_that_forbids_everything(tiny_model: Any) -> None:
    processor = GrammarLogitsProcessor(tiny_model.compiler.compile_regex("ab"))
    masked = processor(torch.tensor([[5, 6]]), torch.full((1, 512), float("-inf")))
    assert masked[0].isfinite().nonzero()[:, 0].tolist() == sorted(
        Matcher(tiny_model.compiler.compile_regex("ab")).allowed_token_ids().tolist()
    )


def test_prompts_given_as_embeddings(tiny_model: Any, processor: GrammarLogitsProcessor) -> None:
    inputs = tiny_model.tokenizer(PROMPTS[:1], return_tensors="pt")
    embeddings = tiny_model.network.get_input_embeddings()(inputs.input_ids)
    for _ in range(2):
        output = tiny_model.network.generate(
            inputs_embeds=embeddings, max_new_tokens=60, do_sample=False, logits_processor=[processor]
        )
        ids = [i for i in output[0].tolist() if i != tiny_model.tokenizer.eos_token_id]
        assert tiny_model.vocabulary.decode(ids).decode() == own_greedy(tiny_model, PROMPTS[:1], PATTERN)[0]


def test_half_precision_scores(tiny_model: Any, processor: GrammarLogitsProcessor) -> None:
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        masked = processor(torch.tensor([[1, 2, 3]]), torch.zeros(1, 512, dtype=dtype))
        assert masked.dtype == dtype
        assert bool(masked.isfinite().any())


def test_needs_a_grammar_and_a_stop_token(tiny_model: Any) -> None:
    from grammar_engine.compiler.compiled import GrammarCompiler
    from grammar_engine.compiler.vocabulary import Vocabulary

    with pytest.raises(InvalidArgumentError):
        GrammarLogitsProcessor([None])
    endless = GrammarCompiler(Vocabulary([b"a", b"b"]), cache_dir="").compile_regex("ab")
    with pytest.raises(InvalidArgumentError, match="stop"):
        GrammarLogitsProcessor(endless)


def test_masks_made_ahead_change_nothing(tiny_model: Any) -> None:
    """With the second hook: the same texts in every mode, and masks that are really taken up."""
    compiled = tiny_model.compiler.compile_regex(PATTERN)
    taken: list[bool] = []

    class Watched(GrammarLogitsProcessor):
        def _take_pending(self, input_ids: Any) -> Any:
            found = super()._take_pending(input_ids)
            if input_ids is not None:
                taken.append(found is not None)
            return found

    for options in (
        {},
        {"do_sample": True, "top_k": 5},
        {"num_beams": 3},
        {"prompt_lookup_num_tokens": 3},
        {"cache_implementation": "static"},
    ):
        for prompts in (PROMPTS, PROMPTS[:1]):
            if "prompt_lookup_num_tokens" in options and len(prompts) > 1:
                continue
            torch.manual_seed(3)
            plain = texts(tiny_model, prompts, GrammarLogitsProcessor(compiled), **options)
            torch.manual_seed(3)
            taken.clear()
            processor = Watched(compiled)
            ahead = texts(tiny_model, prompts, processor, stopping_criteria=[processor.ahead()], **options)
            assert ahead == plain
            if not options:
                assert not taken[0]
                assert all(taken[1:])


def test_static_cache(tiny_model: Any, processor: GrammarLogitsProcessor) -> None:
    result = texts(tiny_model, PROMPTS, processor, cache_implementation="static")
    assert result == own_greedy(tiny_model, PROMPTS, PATTERN)


def test_packed_rows_are_refused(processor: GrammarLogitsProcessor) -> None:
    with pytest.raises(InvalidArgumentError, match="continuous batching"):
        processor(torch.zeros((1, 7), dtype=torch.long), torch.zeros((3, 512)))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"do_sample": True, "temperature": 1.7, "top_k": 2, "top_p": 0.5},
        {"num_beams": 3},
        {"prompt_lookup_num_tokens": 3},
        {"repetition_penalty": 3.0, "no_repeat_ngram_size": 1},
    ],
    ids=str,
)
def test_generate_with_a_constraint_of_its_own(tiny_model: Any, options: dict[str, Any]) -> None:
    constrained = ConstrainedGenerate(tiny_model.tokenizer)
    prompts = PROMPTS[:1] if "prompt_lookup_num_tokens" in options else PROMPTS
    inputs = tiny_model.tokenizer(prompts, return_tensors="pt", padding=True)
    settings = {"do_sample": False, "max_new_tokens": 60, **options}
    output = tiny_model.network.generate(
        input_ids=inputs.input_ids,
        attention_mask=inputs.attention_mask,
        custom_generate=constrained,
        regex=PATTERN,
        **settings,
    )
    width, stop = inputs.input_ids.shape[1], tiny_model.tokenizer.eos_token_id
    rows = [row[: row.index(stop)] if stop in row else row for row in output[:, width:].tolist()]
    result = [tiny_model.vocabulary.decode(row).decode() for row in rows]
    assert all(re.fullmatch(PATTERN, text) for text in result), result
    if not options:
        assert result == own_greedy(tiny_model, PROMPTS, PATTERN)


def test_generate_with_a_schema_and_with_faults(tiny_model: Any) -> None:
    constrained = ConstrainedGenerate(tiny_model.tokenizer)
    inputs = tiny_model.tokenizer(["The"], return_tensors="pt")

    def generate(**options: Any) -> Any:
        return tiny_model.network.generate(
            input_ids=inputs.input_ids, custom_generate=constrained, max_new_tokens=30, do_sample=False, **options
        )

    ids = generate(schema={"type": "array", "items": {"enum": [1, 22]}, "maxItems": 3})[0, 1:].tolist()
    text = tiny_model.vocabulary.decode([i for i in ids if i != tiny_model.tokenizer.eos_token_id]).decode()
    assert all(item in (1, 22) for item in json.loads(text))
    with pytest.raises(InvalidArgumentError, match="a constraint is needed"):
        generate()
    with pytest.raises(InvalidArgumentError, match="one constraint at a time"):
        generate(regex="a", compiled=tiny_model.compiler.compile_regex("a"))
