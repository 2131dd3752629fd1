"""Filling canvases with a model that knows nothing: whatever it says and whatever the order, the text is one."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra hf")

from diffusion_language import COMPILER, MASK, PAD, STOP, TOKENS, filled, is_json, language, model

from grammar_engine.diffusion import Remasking, Schedule
from grammar_engine.diffusion.schedules import NAMED
from grammar_engine.errors import InvalidArgumentError, LimitExceededError, TokenizerError, UnsatisfiableGrammarError
from grammar_engine.matcher import Matcher


@pytest.fixture(scope="module")
def compiled() -> Any:
    return language()


def text_of(canvas: tuple[int, ...]) -> str:
    return b"".join(TOKENS[token] or b"" for token in canvas).decode()


@pytest.mark.parametrize("name", NAMED)
def test_exact_always_ends_with_a_text(compiled: Any, name: str) -> None:
    """By another parser's verdict; behind the end there is nothing but stop and pad tokens."""
    for seed in range(6):
        for temperature in (None, 1.0):
            speaker = model(seed, favoured={STOP: 2.0 * (seed % 2)})
            for result in filled(
                speaker, ["", "ab"], compiled, slots=9, schedule=name, temperature=temperature, seed=seed
            ):
                assert result.complete
                assert is_json(result.text)
                assert result.text == text_of(result.canvas)
                assert MASK not in result.canvas
                behind = result.canvas[len(result.token_ids) :]
                assert set(behind) <= {STOP, PAD}
                assert behind[:1] in ((), (STOP,))
                assert (result.finish_reason == "stop") == bool(behind)
                counters = result.counters
                assert counters.commits + counters.tail_tokens - counters.reopened == 9


def test_without_a_grammar_the_model_says_what_it_likes(compiled: Any) -> None:
    results = [filled(model(seed), [""], compiled, slots=9, method="none")[0] for seed in range(20)]
    for result in results:
        matcher = Matcher(compiled)
        is_text = matcher.accept_bytes(result.text.encode()) and matcher.is_accepting()
        assert result.complete == (is_text and set(result.canvas[len(result.token_ids) :]) <= {STOP, PAD})
        assert (result.value is None) != result.complete
    assert not all(result.complete for result in results)


def test_history_retells_the_filling(compiled: Any) -> None:
    """Every step's canvas is the one before it with what was committed; what was conflicting stayed open."""
    seen = []
    schedule = Schedule(threshold=0.0, block=5)
    result = filled(model(3), [""], compiled, slots=10, schedule=schedule, on_step=seen.append)[0]
    assert tuple(seen) == result.history
    canvas = [MASK] * 10
    conflicts = 0
    for number, step in enumerate(result.history):
        assert step.number == number
        for slot in step.slots:
            if slot.state in ("committed", "tail"):
                assert canvas[slot.slot] == MASK
                canvas[slot.slot] = slot.choice
                assert slot.is_allowed or slot.choice != slot.proposal
            elif slot.state == "conflict":
                conflicts += 1
                assert step.token_ids[slot.slot] in (MASK, PAD)
            assert slot.num_allowed != 0
        assert tuple(canvas) == step.token_ids
    assert tuple(canvas) == result.canvas
    assert conflicts
    assert result.counters.rejected_batches
    assert result.counters.forwards == result.counters.steps == len(result.history)


def test_batches_are_cut_as_if_tried_one_by_one(compiled: Any) -> None:
    """All slots at once: the best goes first, then each that goes together with what is there."""
    from plain_canvas import PlainCanvas

    for seed in range(10):
        result = filled(model(seed), [""], compiled, slots=8, schedule=Schedule(threshold=0.0, ends="any"))[0]
        step = result.history[0]
        one_by_one = PlainCanvas(compiled, [MASK] * 8, mask_token_id=MASK, pad_token_id=PAD)
        tried = sorted(
            (slot for slot in step.slots if slot.state in ("committed", "conflict")),
            key=lambda slot: (-slot.confidence, slot.slot),
        )
        assert len(tried) == 8
        for slot in tried:
            assert one_by_one.commit([(slot.slot, slot.choice)]) == (slot.state == "committed")


def test_rows_of_a_batch_do_not_touch_each_other(compiled: Any) -> None:
    """A batch and calls of their own fill alike, padding of prompts included."""
    options = {"slots": 8, "temperature": 1.0, "schedule": "random"}
    batch = filled(model(5), ["", "abc", "x"], compiled, seed=7, **options)
    for i, prompt in enumerate(["", "abc", "x"]):
        alone = filled(model(5), [prompt], compiled, seed=7 + i, **options)[0]
        assert alone.canvas == batch[i].canvas
        assert alone.history[0].slots == batch[i].history[0].slots


def test_steps_bound_the_passes() -> None:
    """Of a canvas in which nothing conflicts and the text does not end early."""
    free = COMPILER.compile_gbnf("root ::= [1a]{12}")
    for steps in (1, 3, 4, 12):
        schedule = Schedule(block=None)
        speaker = model(1)
        result = filled(speaker, [""], free, slots=12, steps=steps, schedule=schedule)[0]
        assert result.counters.forwards == len(speaker.calls) == steps
    blocks = filled(model(1), [""], free, slots=12, steps=6, schedule=Schedule(block=4))[0]
    assert blocks.counters.forwards == 6
    assert [step.block for step in blocks.history] == [(0, 4)] * 2 + [(4, 8)] * 2 + [(8, 12)] * 2


def test_ends_wait(compiled: Any) -> None:
    """A model that is sure of the end everywhere: a short text follows if ends are tokens like others."""
    sure = {STOP: 30.0}
    any_time = [
        filled(model(s, favoured=sure), [""], compiled, slots=9, schedule=Schedule(ends="any"))[0] for s in (0, 1)
    ]
    waiting = [filled(model(s, favoured=sure), [""], compiled, slots=9)[0] for s in (0, 1)]
    for early, late in zip(any_time, waiting, strict=True):
        ends = [slot.slot for slot in early.history[0].slots if slot.state == "committed"]
        assert early.canvas[ends[0]] == STOP
        slots = [slot for slot in late.history[0].slots if slot.state == "committed"]
        assert all(late.canvas[slot.slot] != STOP for slot in slots)


def test_remasking_opens_slots_again_and_ends(compiled: Any) -> None:
    rule = Remasking(times=2, below=1.0, share=0.5)
    for seed in range(5):
        result = filled(
            model(seed), [""], compiled, slots=8, temperature=1.0, seed=seed, schedule=Schedule(remasking=rule, block=4)
        )[0]
        assert is_json(result.text)
        counters = result.counters
        assert 0 < counters.reopened == sum(len(step.reopened) for step in result.history) <= 2 * 8
        assert counters.commits + counters.tail_tokens - counters.reopened == 8
        assert result.logprob <= 0


def test_a_canvas_that_is_partly_filled(compiled: Any) -> None:
    """Infilling: what was given stays."""
    given = [MASK, 3, MASK, MASK, 2, MASK, 1, STOP, PAD]
    for method in ("exact", "none"):
        result = filled(model(2), [""], compiled, canvas=given, method=method)[0]
        assert all(a in (MASK, b) for a, b in zip(given, result.canvas, strict=True))
        assert result.complete or method == "none"


def test_impossible_canvases_cost_no_pass(compiled: Any) -> None:
    long_text = COMPILER.compile_gbnf('root ::= "[" "1"{19} "]"')
    speaker = model(0)
    with pytest.raises(LimitExceededError, match="takes 21 slots"):
        filled(speaker, [""], long_text, slots=8)
    with pytest.raises(LimitExceededError, match="takes 21 slots"):
        filled(speaker, [""], long_text, slots=20, method="lave")
    assert filled(speaker, [""], long_text, slots=21)[0].complete
    speaker.calls.clear()
    with pytest.raises(UnsatisfiableGrammarError, match="1 open slots"):
        filled(speaker, [""], compiled, canvas=[0, 0, MASK])
    with pytest.raises(LimitExceededError, match="nothing to fill"):
        filled(speaker, [""], compiled, slots=0)
    with pytest.raises(LimitExceededError, match="nothing to fill"):
        filled(speaker, [""], compiled, canvas=[])
    assert speaker.calls == []


def test_context(compiled: Any) -> None:
    speaker = model(0, context_length=12)
    assert len(filled(speaker, ["abcd"], compiled)[0].canvas) == 8  # of the usual 128
    with pytest.raises(LimitExceededError, match="context of 12"):
        filled(speaker, ["abcd"], compiled, slots=9)
    assert filled(speaker, ["abcd"], compiled, slots=8)[0].complete


@pytest.mark.parametrize(
    "options",
    [
        {"method": "exactly"},
        {"schedule": "best"},
        {"slots": 4, "canvas": [MASK]},
        {"canvas": [99]},
        {"slots": True},
        {"steps": 0},
        {"audit": True},
        {"lave": 3},
        {"temperature": -1.0},
    ],
)
def test_refused_settings(compiled: Any, options: dict[str, Any]) -> None:
    speaker = model(0)
    with pytest.raises(InvalidArgumentError):
        filled(speaker, [""], compiled, **options)
    assert speaker.calls == []


def test_another_vocabulary_is_refused() -> None:
    from grammar_engine import GrammarCompiler, Vocabulary

    for tokens in (TOKENS[:-1] + [None] * 3, [b"x", *TOKENS[1:]]):
        other = GrammarCompiler(Vocabulary(tokens, stop_token_ids=[STOP]), cache_dir="", prepare=False)
        with pytest.raises(TokenizerError, match=r"model\.compiler"):
            filled(model(0), [""], other.compile_regex("1*"), slots=4)


def test_schedules_are_plain_values() -> None:
    assert dataclasses.replace(NAMED["threshold"], threshold=None) == NAMED["low-confidence"]


def test_tokens_that_are_refused_beside_the_mask() -> None:
    """As guards may refuse a token of the mask: others are tried, and where none is left, that is said."""
    from collections.abc import Sequence

    from plain_canvas import PlainCanvas

    from grammar_engine.diffusion.fill import as_sampler
    from grammar_engine.diffusion.generation import prepare_run
    from grammar_engine.errors import GrammarEngineError

    class Guarded(PlainCanvas):
        refused: frozenset[int] = frozenset()

        def commit(self, commits: Sequence[tuple[int, int]]) -> bool:
            return not any(token in self.refused for _, token in commits) and super().commit(commits)

    either = COMPILER.compile_gbnf("root ::= [1a]{6}")
    for refused, fits in (({3}, True), ({3, 6}, False)):
        speaker = model(0, favoured={3: 5.0})
        canvas = type("G", (Guarded,), {"refused": frozenset(refused)})
        run = prepare_run(
            speaker,
            [""],
            either,
            slots=6,
            sampler=as_sampler(None, None),
            new_canvas=lambda ids, canvas=canvas: canvas(either, ids, mask_token_id=MASK, pad_token_id=PAD),
        )
        if fits:
            run.fill()
            assert run.results(str)[0].text == "aaaaaa"
        else:
            with pytest.raises(GrammarEngineError, match="no token left"):
                run.fill()


def test_joint_choices_are_the_best_text_that_fits(compiled: Any) -> None:
    """Filled at once: the most probable of all texts that fit, by enumeration; and nothing is ever refused."""
    from plain_canvas import PlainCanvas

    for seed in range(5):
        at_once = Schedule(threshold=0.0, block=None, joint=True, ends="any")
        for plainly in (True, False):
            speaker = model(seed)
            result = filled(speaker, [""], compiled, slots=6, schedule=at_once, plainly=plainly)[0]
            assert result.counters.forwards == 1
            assert result.counters.rejected_batches == 0
            logits = speaker.forward(torch.tensor([[MASK] * 6]))[0].clone()
            logits[:, MASK] = -math.inf
            logps = logits.log_softmax(-1)
            fillings = PlainCanvas(compiled, [MASK] * 6, mask_token_id=MASK, pad_token_id=PAD).fillings()
            best = max(sum(float(logps[i, t]) for i, t in enumerate(filling)) for filling in fillings)
            own = sum(float(logps[i, t]) for i, t in enumerate(result.canvas))
            assert own == pytest.approx(best, abs=1e-4)
            if plainly:
                continue
            drawn = filled(
                model(seed), [""], compiled, slots=6, schedule="joint", temperature=1.0, seed=seed, plainly=False
            )[0]
            assert is_json(drawn.text)
            assert drawn.counters.rejected_batches == 0


@pytest.mark.parametrize("options", [{"method": "lave"}, {"sampler": "top"}])
def test_joint_choices_that_are_refused(compiled: Any, options: dict[str, Any]) -> None:
    from diffusion_language import model as speaker

    from grammar_engine.diffusion.generation import prepare_run
    from grammar_engine.sampling.samplers import Greedy, Sample

    sampler = Sample(1.0, top_p=0.5) if options.pop("sampler", None) else Greedy()
    with pytest.raises(InvalidArgumentError):
        prepare_run(speaker(0), [""], compiled, slots=4, schedule="joint", sampler=sampler, **options)


@pytest.mark.parametrize("name", NAMED)
def test_plain_canvases_and_the_engines_give_the_same(compiled: Any, name: str) -> None:
    """Step by step: what was proposed, how many tokens are allowed, what was committed."""
    for seed in range(3):
        for method in ("exact", "lave"):
            if NAMED[name].joint:
                continue  # exact draws of two implementations, and ties among the best, need not be the same
            options: dict[str, Any] = {"slots": 9, "schedule": name, "temperature": 1.0, "seed": seed}
            options |= {"method": method, "audit": method == "lave"}
            plain, fast = (
                filled(model(seed), ["", "ab"], compiled, plainly=plainly, **options) for plainly in (True, False)
            )
            for one, other in zip(plain, fast, strict=True):
                assert one.canvas == other.canvas
                assert one.history == other.history
                assert one.counters == other.counters


def test_duplicate_names() -> None:
    """Names are told apart by a guard, which sees texts and not slots: what was filled against it is filled again."""
    import json

    from random_diffusion import RandomDiffusion

    from grammar_engine import GrammarCompiler, Vocabulary
    from grammar_engine.diffusion import generate

    tokens = [b'{"', b'":', b',"', b"a", b"b", b"1", b"}", b"c", b"{", b'"', b":", b",", None, None]
    compiler = GrammarCompiler(Vocabulary(tokens, stop_token_ids=[12]), cache_dir="", prepare=False)
    schema = {"type": "object", "additionalProperties": {"const": 1}}
    guarded = compiler.compile_json_schema(schema, separators=(",", ":"))
    restarts = 0
    for seed in range(18):
        favoured = {3: 6.0 * (seed % 2), 2: 2.0 * (seed % 2), 12: -9.0}
        speaker = RandomDiffusion(
            compiler, mask_token_id=13, seed=seed, sharpness=0.1 + 0.4 * (seed % 3), favoured=favoured
        )
        name = ("random", "threshold", "entropy")[seed % 3]
        result = generate(speaker, "", guarded, slots=20, schedule=name, temperature=float(seed % 2), seed=seed)
        pairs = json.loads(result.text, object_pairs_hook=list)
        assert len({key for key, _ in pairs}) == len(pairs)
        counters = result.counters
        assert counters.commits + counters.tail_tokens - counters.reopened == 20
        restarts += counters.restarts
    assert restarts
