"""The decoding loop against a loop without cache, batch or threads; reproducibility; stop and length."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra hf")

from grammar_engine.matcher import Matcher
from grammar_engine.runtime import DecodingRun, Outcome, Request
from grammar_engine.sampling import Greedy, Sample, Sampler

STORY = r"(The|Once) [a-z ]{3,40}(\.|!)"
NUMBERS = r"\[(-?[0-9]+(, -?[0-9]+)*)?\]"
WIDE = r"[a-zé日🎉]+"


def run(model: Any, prompts: list[str], pattern: str, sampler: Sampler, **options: Any) -> list[Outcome]:
    compiled = model.compiler.compile_regex(pattern)
    settings = {"max_tokens": 40, **options}
    first_seed = settings.pop("seed", 0)
    requests = [
        Request(prompt_ids=model.encode(prompt), matcher=Matcher(compiled), seed=first_seed + i, **settings)
        for i, prompt in enumerate(prompts)
    ]
    decoding = DecodingRun(model.network, model.vocabulary, requests, sampler)
    for _ in decoding:
        pass
    return decoding.outcomes


def naive_greedy(model: Any, prompt: str, pattern: str, max_tokens: int) -> tuple[list[int], float, float]:
    """Greedy decoding by definition: the whole text through the network at each step, no cache, no batch."""
    matcher = Matcher(model.compiler.compile_regex(pattern))
    ids, generated, logprob, log_weight = model.encode(prompt), [], 0.0, 0.0
    while len(generated) < max_tokens:
        allowed = matcher.allowed_token_ids().tolist()
        if all(token_id in model.vocabulary.stop_token_ids for token_id in allowed):
            break
        with torch.no_grad():
            logps = model.network(torch.tensor([ids + generated])).logits[0, -1].double().log_softmax(-1)
        best = max(allowed, key=lambda token_id: float(logps[token_id]))
        logprob += float(logps[best])
        log_weight += float(logps[allowed].logsumexp(-1))
        assert matcher.accept_token(best)
        if matcher.is_terminated():
            break
        generated.append(best)
    return generated, logprob, log_weight


@pytest.mark.parametrize("pattern", [STORY, NUMBERS, WIDE, "yes|no|maybe"])
def test_greedy_equals_decoding_by_definition(tiny_model: Any, pattern: str) -> None:
    prompt = "The quick brown fox"
    outcome = run(tiny_model, [prompt], pattern, Greedy(), steer=False)[0]
    ids, logprob, log_weight = naive_greedy(tiny_model, prompt, pattern, 40)
    assert list(outcome.token_ids) == ids
    assert outcome.logprob == pytest.approx(logprob, abs=1e-3)
    assert outcome.log_weight == pytest.approx(log_weight, abs=1e-3)


@pytest.mark.parametrize("sampler", [Greedy(), Sample(), Sample(temperature=1.5, top_k=30, top_p=0.95, min_p=0.01)])
def test_a_row_of_a_batch_equals_a_call_of_its_own(tiny_model: Any, sampler: Sampler) -> None:
    prompts = [
        "The",
        "Once upon a time there was a town. The quick brown fox jumps over",
        "yes no",
        "日本 🎉 0123456789",
    ]
    together = run(tiny_model, prompts, STORY, sampler, seed=5)
    alone = [run(tiny_model, [prompt], STORY, sampler, seed=5 + i)[0] for i, prompt in enumerate(prompts)]
    assert [outcome.token_ids for outcome in together] == [outcome.token_ids for outcome in alone]
    assert [o.logprob for o in together] == pytest.approx([o.logprob for o in alone], abs=1e-3)
    assert len({len(outcome.token_ids) for outcome in together}) > 1, "rows must end at different steps to test leaving"


PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "pattern": "^[a-zA-Z ]{1,12}$"},
        "kind": {"enum": ["person", "place", "plaything"]},
        "numbers": {"type": "array", "items": {"type": "integer", "maximum": 99}, "maxItems": 3},
    },
    "required": ["name", "kind", "numbers"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("sampler", [Greedy(), Sample(), Sample(temperature=1.5, top_k=30, top_p=0.95)])
@pytest.mark.parametrize("options", [{}, {"separators": (",", ":")}, {"separators": (", ", ": ")}], ids=str)
def test_drafts_change_nothing_but_the_number_of_passes(tiny_model: Any, sampler: Sampler, options: Any) -> None:
    compiled = tiny_model.compiler.compile_json_schema(PERSON, any_whitespace=not options, **options)
    prompts = ["The", "Once upon a time there was a town.", "yes no 0123456789"]

    def outcomes(chosen: list[str], first: int, drafts: int) -> list[Outcome]:
        requests = [
            Request(prompt_ids=tiny_model.encode(prompt), matcher=Matcher(compiled), seed=first + i, max_tokens=90)
            for i, prompt in enumerate(chosen)
        ]
        decoding = DecodingRun(tiny_model.network, tiny_model.vocabulary, requests, sampler, drafts=drafts)
        list(decoding)
        return decoding.outcomes

    plain, drafted = outcomes(prompts, 7, 0), outcomes(prompts, 7, 5)
    alone = [outcomes([prompt], 7 + i, 5)[0] for i, prompt in enumerate(prompts)]
    for other in (drafted, alone):
        assert [o.token_ids for o in other] == [o.token_ids for o in plain]
        assert [o.logprob for o in other] == pytest.approx([o.logprob for o in plain], abs=1e-3)
        assert [o.log_weight for o in other] == pytest.approx([o.log_weight for o in plain], abs=1e-3)
        assert sum(o.stats.drafted_tokens for o in other) > 20
    assert all(o.stats.drafted_tokens == 0 for o in plain)
    assert all(o.stats.passes == o.stats.tokens - o.stats.confirmed_tokens for o in alone)
    if options:
        assert sum(o.stats.confirmed_tokens for o in alone) > 10


def test_seeds_repeat_and_differ(tiny_model: Any) -> None:
    texts = [run(tiny_model, ["The"], STORY, Sample(), seed=seed)[0].text for seed in (1, 1, 2, 3, 4)]
    assert texts[0] == texts[1]
    assert len(set(texts)) > 2


@pytest.mark.parametrize("pattern", [STORY, NUMBERS, WIDE])
def test_every_text_is_in_the_language(tiny_model: Any, pattern: str) -> None:
    for max_tokens in (6, 9, 14, 30):
        outcomes = run(
            tiny_model, ["The", "a"], pattern, Sample(temperature=2.0), max_tokens=max_tokens, seed=max_tokens
        )
        for outcome in outcomes:
            assert outcome.complete
            assert re.fullmatch(pattern, outcome.text)
            assert outcome.stats.tokens <= max_tokens


def test_without_steering_the_budget_cuts(tiny_model: Any) -> None:
    outcome = run(tiny_model, ["The"], r"The [a-z ]{60}end\.", Greedy(), max_tokens=5, steer=False)[0]
    assert not outcome.complete
    assert outcome.finish_reason == "length"
    assert outcome.stats.tokens == 5
    assert outcome.text.startswith("The ")


def test_ends_without_asking_the_model_where_nothing_can_follow(tiny_model: Any) -> None:
    outcome = run(tiny_model, ["The"], "yes", Greedy())[0]
    assert (outcome.text, outcome.finish_reason) == ("yes", "stop")
    assert outcome.stats.tokens == len(outcome.token_ids)


def test_stop_token_ends_a_text_that_could_go_on(tiny_model: Any) -> None:
    outcomes = [run(tiny_model, ["The"], "[ab]+", Sample(), seed=seed, max_tokens=400)[0] for seed in range(3)]
    assert {outcome.finish_reason for outcome in outcomes} == {"stop"}
    assert all(outcome.stats.tokens == len(outcome.token_ids) + 1 for outcome in outcomes)


def test_a_text_complete_at_the_end_of_the_budget_counts(tiny_model: Any) -> None:
    outcome = run(tiny_model, ["The"], "[ab]{3,}c*", Greedy(), max_tokens=3)[0]
    assert outcome.complete
    assert re.fullmatch("[ab]{3,}c*", outcome.text)


def test_draws_follow_the_masked_distribution(tiny_model: Any) -> None:
    """First tokens of 3,000 rows against p(token | allowed), by the largest deviation in standard errors."""
    compiled = tiny_model.compiler.compile_regex("[a-h]")
    prompt_ids = tiny_model.encode("The quick")
    with torch.no_grad():
        logps = tiny_model.network(torch.tensor([prompt_ids])).logits[0, -1].double()
    allowed = Matcher(compiled).allowed_token_ids().tolist()
    expected = (logps[allowed] / 0.8).softmax(-1)
    count = 3000
    requests = [Request(prompt_ids=prompt_ids, matcher=Matcher(compiled), max_tokens=2, seed=i) for i in range(count)]
    decoding = DecodingRun(tiny_model.network, tiny_model.vocabulary, requests, Sample(temperature=0.8))
    list(decoding)
    seen = torch.zeros(len(allowed), dtype=torch.double)
    for outcome in decoding.outcomes:
        seen[allowed.index(outcome.token_ids[0])] += 1
    errors = (seen / count - expected).abs() / (expected * (1 - expected) / count).sqrt().clamp(min=1e-9)
    assert float(errors.max()) < 4.5


def test_text_pieces_are_whole_characters(tiny_model: Any) -> None:
    compiled = tiny_model.compiler.compile_regex("[日本é🎉]{12}")
    request = Request(prompt_ids=tiny_model.encode("a"), matcher=Matcher(compiled), max_tokens=60, seed=1)
    decoding = DecodingRun(tiny_model.network, tiny_model.vocabulary, [request], Sample())
    events = list(decoding)
    assert "".join(event.text for event in events) == decoding.outcomes[0].text
    assert any(not event.text for event in events), "a character of several tokens must have been seen"
    assert "\ufffd" not in decoding.outcomes[0].text


def test_stats_add_up(tiny_model: Any) -> None:
    stats = run(tiny_model, ["The"], STORY, Greedy())[0].stats
    assert 0 < stats.prefill_seconds < stats.seconds
    assert stats.mask_wait_seconds > 0
    assert 0 < stats.mask_seconds < stats.seconds
    assert stats.mask_share == stats.mask_seconds / stats.seconds
    assert math.isclose(stats.tokens_per_second, stats.tokens / (stats.seconds - stats.prefill_seconds))
