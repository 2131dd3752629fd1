"""The loop that draws on the device beside the one that draws on the host: the same texts, or the same distribution.

On the CPU the kernels' torch twins draw; ``make test-gpu`` runs all of it on a GPU.
"""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra hf")

from grammar_engine.errors import GrammarEngineError
from grammar_engine.matcher import Matcher
from grammar_engine.runtime import DecodingRun, Outcome, Request
from grammar_engine.sampling import Greedy, Sample, Sampler

STORY = r"(The|Once) [a-z ]{3,40}(\.|!)"
NUMBERS = r"\[(-?[0-9]+(, -?[0-9]+)*)?\]"
WIDE = r"[a-zé日🎉]+"
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer"}, "ok": {"type": "boolean"}},
    "required": ["name", "age", "ok"],
    "additionalProperties": False,
}
UNIQUE = {"type": "array", "items": {"enum": [1, 2, 30, "a"]}, "uniqueItems": True, "minItems": 2}
PROMPTS = ["The", "Once upon a time there was a town.", "yes no 0123456789"]


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def model(request: pytest.FixtureRequest, tiny_model: Any) -> Any:
    if request.param == "cpu":
        return tiny_model
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device; run `make test-gpu` where there is one")
    moved = copy.copy(tiny_model)
    moved.network = copy.deepcopy(tiny_model.network).to("cuda")
    return moved


def run(
    model: Any,
    compiled: Any,
    sampler: Sampler,
    *,
    prompts: list[str] = PROMPTS,
    device: bool = True,
    drafts: int = 0,
    first_seed: int = 0,
    wrap: Any = Matcher,
    **settings: Any,
) -> list[Outcome]:
    options = {"max_tokens": 60, **settings}
    requests = [
        Request(prompt_ids=model.encode(prompt), matcher=wrap(compiled), seed=first_seed + i, **options)
        for i, prompt in enumerate(prompts)
    ]
    decoding = DecodingRun(model.network, model.vocabulary, requests, sampler, drafts=drafts, draws_on_device=device)
    list(decoding)
    return decoding.outcomes


def same(found: list[Outcome], expected: list[Outcome]) -> None:
    assert [o.token_ids for o in found] == [o.token_ids for o in expected]
    assert [o.finish_reason for o in found] == [o.finish_reason for o in expected]
    assert [o.logprob for o in found] == pytest.approx([o.logprob for o in expected], abs=1e-3)
    assert [o.log_weight for o in found] == pytest.approx([o.log_weight for o in expected], abs=1e-3)


@pytest.mark.parametrize("pattern", [STORY, NUMBERS, WIDE, "yes|no|maybe"])
@pytest.mark.parametrize("max_tokens", [7, 60])
def test_greedy_is_the_same_token_for_token(model: Any, pattern: str, max_tokens: int) -> None:
    compiled = model.compiler.compile_regex(pattern)
    expected = run(model, compiled, Greedy(), device=False, max_tokens=max_tokens)
    same(run(model, compiled, Greedy(), max_tokens=max_tokens), expected)


@pytest.mark.parametrize("drafts", [0, 5])
@pytest.mark.parametrize("schema", [PERSON, UNIQUE], ids=["person", "guarded"])
def test_greedy_json_is_the_same_with_drafts_and_guards(model: Any, schema: Any, drafts: int) -> None:
    compiled = model.compiler.compile_json_schema(schema)
    expected = run(model, compiled, Greedy(), device=False, max_tokens=50)
    found = run(model, compiled, Greedy(), drafts=drafts, max_tokens=50)
    same(found, expected)
    if drafts and schema is PERSON:
        assert sum(outcome.stats.drafted_tokens for outcome in found) > 5
        assert sum(outcome.stats.confirmed_tokens for outcome in found) > 0


@pytest.mark.parametrize("sampler", [Sample(), Sample(temperature=1.5, top_k=30, top_p=0.95, min_p=0.001)])
def test_a_seed_gives_one_text_whatever_the_batch_and_the_drafts(model: Any, sampler: Sample) -> None:
    compiled = model.compiler.compile_json_schema(PERSON, separators=(", ", ": "))
    together = run(model, compiled, sampler, first_seed=7, max_tokens=90)
    drafted = run(model, compiled, sampler, first_seed=7, max_tokens=90, drafts=5)
    alone = [
        run(model, compiled, sampler, prompts=[prompt], first_seed=7 + i, max_tokens=90)[0]
        for i, prompt in enumerate(PROMPTS)
    ]
    other = run(model, compiled, sampler, first_seed=70, max_tokens=90)
    same(drafted, together)
    same(alone, together)
    assert [outcome.token_ids for outcome in other] != [outcome.token_ids for outcome in together]


@pytest.mark.parametrize("sampler", [Sample(temperature=0.8), Sample(temperature=1.3, top_k=5)])
def test_draws_follow_the_masked_distribution(model: Any, sampler: Sample) -> None:
    """First tokens of 3,000 rows against what the host's sampler draws from, in standard errors."""
    compiled = model.compiler.compile_regex("[a-h]")
    ids = model.encode("The quick")
    with torch.no_grad():
        logits = model.network(torch.tensor([ids], device=model.network.device)).logits[0, -1].cpu().float()
    allowed = Matcher(compiled).allowed_token_ids().tolist()
    masked = torch.full_like(logits, -torch.inf)
    masked[allowed] = logits[allowed]
    expected = sampler.probabilities(masked[None])[0].double()
    count = 3000
    outcomes = run(model, compiled, sampler, prompts=["The quick"] * count, max_tokens=2)
    seen = torch.bincount(torch.tensor([outcome.token_ids[0] for outcome in outcomes]), minlength=len(logits)) / count
    assert not seen[expected == 0].any()
    possible = expected > 0
    deviations = (expected * (1 - expected) / count).sqrt()[possible].clamp(min=1e-9)
    assert float(((seen[possible] - expected[possible]).abs() / deviations).max()) < 4.5


@pytest.mark.parametrize("pattern", [STORY, NUMBERS, WIDE])
@pytest.mark.parametrize("max_tokens", [6, 9, 14, 30])
def test_texts_are_complete_within_their_budget(model: Any, pattern: str, max_tokens: int) -> None:
    compiled = model.compiler.compile_regex(pattern)
    for outcome in run(model, compiled, Sample(temperature=2.0), max_tokens=max_tokens, first_seed=max_tokens):
        assert outcome.complete
        assert re.fullmatch(pattern, outcome.text)
        assert outcome.stats.tokens <= max_tokens


def test_one_draw_a_pass(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """All drafted positions at once: the host waits as often as the network is asked."""
    from grammar_engine.kernels.device import sampling

    drawn: list[int] = []

    def counted(logits: Any, settings: Any, *rest: Any) -> Any:
        drawn.append(len(settings.steps))
        return draw(logits, settings, *rest)

    draw = sampling.draw
    monkeypatch.setattr(sampling, "draw", counted)
    compiled = model.compiler.compile_json_schema(PERSON, separators=(", ", ": "))
    outcomes = run(model, compiled, Greedy(), drafts=5, steer=False)
    assert len(drawn) == outcomes[0].stats.passes
    assert max(drawn) > len(PROMPTS)


def test_a_token_in_place_of_a_refused_one_is_scored_as_by_the_host(model: Any) -> None:
    """Greedy with a budget that is almost too short: the best tokens are refused until one fits."""
    compiled = model.compiler.compile_regex(r"[a-z ]{2,60}(end|\.)")
    for max_tokens in (4, 5, 6):
        expected = run(model, compiled, Greedy(), device=False, max_tokens=max_tokens)
        same(run(model, compiled, Greedy(), max_tokens=max_tokens), expected)


class _Plain:
    """A matcher that is no ``Matcher``: its masks go whole."""

    def __init__(self, compiled: Any, inner: Any = None) -> None:
        self._inner = inner or Matcher(compiled)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def fork(self) -> _Plain:
        return _Plain(None, self._inner.fork())


def test_matchers_of_other_kinds(model: Any) -> None:
    compiled = model.compiler.compile_regex(STORY)
    for sampler in (Greedy(), Sample()):
        same(run(model, compiled, sampler, wrap=_Plain), run(model, compiled, sampler))


class Shifted:
    """A network in which some tokens' logits are lower."""

    def __init__(self, network: Any, token_ids: list[int], less: float) -> None:
        self.device = network.device
        self._network, self._token_ids, self._less = network, token_ids, less

    def forward(self, input_ids: Any, **rest: Any) -> Any:
        out = self._network(input_ids=input_ids, **rest)
        out.logits[..., self._token_ids] -= self._less
        return out

    __call__ = forward


@pytest.mark.parametrize("device", [True, False])
@pytest.mark.parametrize("less", [0.0, 30.0, 45.0, 70.0, 95.0, 1000.0])
def test_weights_of_the_improbable(model: Any, less: float, device: bool) -> None:
    """Also where all that the grammar allows has next to no mass."""
    compiled = model.compiler.compile_regex("[a-h]{2}")
    allowed = Matcher(compiled).allowed_token_ids().tolist()
    shifted = copy.copy(model)
    shifted.network = Shifted(model.network, allowed, less)
    found = run(shifted, compiled, Greedy(), prompts=["The"], device=device, max_tokens=1, steer=False)[0]
    with torch.no_grad():
        ids = torch.tensor([model.encode("The")], device=model.network.device)
        logits = model.network(ids).logits[0, -1].cpu().double()
    logits[allowed] -= less
    logps = logits.log_softmax(-1)
    assert found.log_weight == pytest.approx(float(logps[allowed].logsumexp(-1)), abs=1e-3, rel=1e-5)
    assert found.logprob == pytest.approx(float(logps[found.token_ids[0]]), abs=1e-3, rel=1e-5)


def test_no_probability_for_any_allowed_token_is_an_error(model: Any) -> None:
    compiled = model.compiler.compile_regex("[a-h]")
    barred = copy.copy(model)
    barred.network = Shifted(model.network, Matcher(compiled).allowed_token_ids().tolist(), torch.inf)
    for device in (True, False):
        for outcome in run(barred, compiled, Greedy(), device=device):
            assert isinstance(outcome.error, GrammarEngineError)
            assert "no probability" in str(outcome.error)


def test_other_samplers_and_penalties_draw_as_ever(model: Any) -> None:
    from grammar_engine.sampling.repetition import StructuralRepetition

    compiled = model.compiler.compile_regex(NUMBERS)
    sampler = Sample(repetition=StructuralRepetition(free=1))
    same(run(model, compiled, sampler), run(model, compiled, sampler, device=False))


@pytest.mark.gpu
def test_a_model_on_a_gpu_draws_there_unless_told_otherwise(tiny_model: Any) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device; run `make test-gpu` where there is one")
    network = copy.deepcopy(tiny_model.network).to("cuda")
    compiled = tiny_model.compiler.compile_regex(STORY)
    texts = []
    for choice in (None, True):
        request = Request(prompt_ids=tiny_model.encode("The"), matcher=Matcher(compiled), max_tokens=40, seed=3)
        decoding = DecodingRun(network, tiny_model.vocabulary, [request], Sample(), draws_on_device=choice)
        list(decoding)
        texts.append(decoding.outcomes[0].token_ids)
    assert texts[0] == texts[1]
