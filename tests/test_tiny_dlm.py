"""The trained tiny model: what it was trained on, how, and that it has learnt it."""

from __future__ import annotations

import ast
import json
import random
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra hf")
pytest.importorskip("transformers", reason="needs the extra hf")

import grammar_engine as ge
from grammar_engine.diffusion.tiny import data, files, tokenizer, training
from grammar_engine.diffusion.tiny.model import TinyDiffusionModel, load_tiny
from grammar_engine.diffusion.tiny.network import NetworkShape, TinyNetwork

needs_muon = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="training needs torch 2.9 or newer")


@pytest.fixture(scope="module")
def model() -> TinyDiffusionModel:
    return load_tiny()


def pairs(seed: int, count: int) -> list[data.Pair]:
    rng = random.Random(seed)
    return [data.pair(rng) for _ in range(count)]


def test_answers_are_what_their_tasks_say() -> None:
    rng = random.Random(0)
    for task, make in data.TASKS.items():
        for _ in range(200):
            prompt, answer = make(rng)
            assert prompt.startswith(f"{task}:")
            if task in ("arith", "code"):
                ast.parse(answer)
                assert task == "code" or prompt == f"arith: {len(numbers(answer))} numbers"
            else:
                json.loads(answer)
    assert pairs(3, 20) == pairs(3, 20) != pairs(4, 20)
    assert any(not prompt for prompt, _ in pairs(0, 100))


def numbers(text: str) -> list[int]:
    return [node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)]


def test_the_tokenizer_is_the_one_that_the_data_give(tmp_path: Path) -> None:
    tokenizer.train(0).save(str(tmp_path / "again.json"))
    made = json.loads((tmp_path / "again.json").read_text("utf-8"))
    shipped = json.loads((files.FOLDER / files.TOKENIZER).read_text("utf-8"))
    assert made["model"]["vocab"] == shipped["model"]["vocab"]
    assert made["added_tokens"] == shipped["added_tokens"]


def test_the_model_that_comes_along(model: TinyDiffusionModel) -> None:
    loaded = ge.load_model("tiny-dlm")
    assert isinstance(loaded, ge.diffusion.DiffusionModel)
    assert ge.diffusion.load_diffusion_model("tiny-dlm").vocabulary == loaded.vocabulary
    assert (loaded.vocabulary.size, loaded.shift, loaded.context_length) == (512, False, 512)
    control = {loaded.mask_token_id, loaded.pad_token_id, *loaded.stop_token_ids}
    assert len(control) == 3
    assert all(loaded.vocabulary[i] is None for i in control)
    assert {bytes([byte]) for byte in range(256)} <= set(loaded.vocabulary.tokens)  # every text has a tokenization
    text = "person: Zoë, 3, 日本 🎉"
    assert loaded.vocabulary.decode(loaded.encode(text)).decode() == text
    assert len(loaded.encode("")) == 1  # the separator
    assert sum(path.stat().st_size for path in files.FOLDER.iterdir()) < 3_000_000
    assert sum(weight.numel() for weight in model.network.parameters()) < 2_000_000


def test_the_forward_is_bidirectional_and_hides_the_filling(model: TinyDiffusionModel) -> None:
    mask, pad = model.mask_token_id, model.pad_token_id
    prompt, slots = model.encode("list: red"), [mask] * 6
    changed = [*slots[:-1], model.encode("]")[0]]
    alone = model.forward(torch.tensor([prompt + slots]))
    assert alone.shape == (1, len(prompt) + 6, 512)
    other = model.forward(torch.tensor([prompt + changed]))
    assert (alone - other).abs()[0, len(prompt)].max() > 1e-3  # the first slot sees the last
    ids = torch.tensor([[pad] * 3 + prompt + slots])
    seen = torch.tensor([[0] * 3 + [1] * (len(prompt) + 6)])
    torch.testing.assert_close(model.forward(ids, seen)[:, 3:], alone, rtol=1e-3, atol=1e-3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_it_says_the_same(model: TinyDiffusionModel) -> None:
    ids = torch.tensor([model.encode("list: red") + [model.mask_token_id] * 6])
    there = load_tiny(device="cuda")
    assert there.device.type == "cuda"
    torch.testing.assert_close(there.forward(ids.cuda()).cpu(), model.forward(ids), rtol=1e-2, atol=1e-2)


def losses(model: TinyDiffusionModel, fresh: list[data.Pair]) -> tuple[float, float]:
    """Nats per masked text token where half of the answer is masked: the model's, and those of token frequencies."""
    ids = [i for _, text in pairs(0, 2000) for i in model.tokenizer(text, add_special_tokens=False)["input_ids"]]
    counts = torch.bincount(torch.tensor(ids), minlength=model.vocabulary.size) + 1  # so that none is impossible
    frequencies = (counts / counts.sum()).log()
    batch = training.batch_of(fresh, model.tokenizer, 64)
    generator = torch.Generator().manual_seed(0)
    text = batch.answer & (batch.ids != model.stop_token_ids[0])
    hidden = text & (torch.rand(batch.ids.shape, generator=generator) < 0.5)
    logits = model.forward(batch.ids.masked_fill(hidden, model.mask_token_id), batch.seen)
    wanted = batch.ids[hidden]
    return (
        torch.nn.functional.cross_entropy(logits[hidden], wanted).item(),
        -frequencies[wanted].mean().item(),
    )


def test_it_predicts_masked_tokens_of_fresh_text(model: TinyDiffusionModel) -> None:
    own, unigram = losses(model, pairs(12_345, 100))
    assert own < 0.5 * unigram


def test_it_knows_where_texts_end(model: TinyDiffusionModel) -> None:
    text = '{"x": 5, "y": 7}'
    prompt, answer = model.encode("point: x=5 y=7"), model.tokenizer(text, add_special_tokens=False)["input_ids"]
    ids = torch.tensor([prompt + answer + [model.mask_token_id] * 10])
    assert model.forward(ids)[0, len(prompt) + len(answer) :].argmax(-1).tolist() == [model.stop_token_ids[0]] * 10


def test_only_answers_are_masked_and_as_often_as_t_says(model: TinyDiffusionModel) -> None:
    batch = training.batch_of(pairs(1, 64), model.tokenizer, 96)
    canvas, hidden, share = training.masked(batch, model.mask_token_id, torch.Generator().manual_seed(0))
    assert not (hidden & ~batch.answer).any()
    assert torch.equal(canvas[~hidden], batch.ids[~hidden])
    assert (canvas[hidden] == model.mask_token_id).all()
    assert share.min() >= training.SMALLEST_SHARE
    assert share.max() <= 1
    rates = hidden.sum(1) / batch.answer.sum(1)
    assert (rates - share.squeeze(1)).abs().max() < 5 * 0.5 / 96**0.5
    assert (rates - share.squeeze(1)).abs().mean() < 0.5 / 96**0.5


def test_the_weights_make_the_loss_an_expectation_over_slots(model: TinyDiffusionModel) -> None:
    """A predictor that ignores its input has the same loss for each slot, so E[1/t] of those masked is their mean."""
    network = TinyNetwork(NetworkShape(vocabulary=512, width=8, layers=1, heads=1))
    with torch.no_grad():
        network.embedding.weight.zero_()
        network.bias.copy_(torch.randn(512, generator=torch.Generator().manual_seed(1)))
        batch = training.batch_of(pairs(2, 32), model.tokenizer, 32)
        wanted = batch.ids[batch.answer]
        exact = torch.nn.functional.cross_entropy(network.bias.expand(len(wanted), -1), wanted)
        generator = torch.Generator().manual_seed(0)
        drawn = torch.stack([training.loss_of(network, batch, model.mask_token_id, generator) for _ in range(200)])
    error = drawn.std() / len(drawn) ** 0.5
    assert abs(drawn.mean() - exact) < 4 * error
    assert error < 0.02 * exact


@needs_muon
def test_training_lowers_the_loss_and_follows_the_seed(model: TinyDiffusionModel, tmp_path: Path) -> None:
    recipe = training.Recipe(steps=60, rows=16, widths=(16, 24), warmup=5, seed=3)
    shape = NetworkShape(vocabulary=512, width=32, layers=2, heads=2)
    batch = training.batch_of(pairs(99, 64), model.tokenizer, 24)

    def loss(network: TinyNetwork) -> float:
        with torch.no_grad():
            generator = torch.Generator().manual_seed(0)
            drawn = [training.loss_of(network, batch, model.mask_token_id, generator) for _ in range(5)]
        return float(torch.stack(drawn).mean())

    def trained() -> tuple[TinyNetwork, float, list[training.Progress]]:
        torch.manual_seed(3)
        network, reports = TinyNetwork(shape), []
        before = loss(network)
        training.fit(network, model.tokenizer, recipe, reports.append)
        return network, before, reports

    network, before, reports = trained()
    assert loss(network) < 0.7 * before
    assert [report.step for report in reports] == [50, 60]
    again, _, _ = trained()
    for one, other in zip(network.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    assert files.save(network, tmp_path) == (tmp_path / "model.safetensors").stat().st_size
    read = files.load(tmp_path)
    assert read.shape == shape
    assert not read.training
    assert abs(loss(read) - loss(network)) < 1e-2  # halves


def test_files_that_are_absent_or_damaged_are_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ge.ModelUnavailableError, match="make train-tiny-dlm"):
        load_tiny(tmp_path)
    (tmp_path / files.TOKENIZER).write_bytes((files.FOLDER / files.TOKENIZER).read_bytes())
    for content in (None, b"not safetensors", b"\x02\0\0\0\0\0\0\0{}"):
        if content is not None:
            (tmp_path / "model.safetensors").write_bytes(content)
        with pytest.raises(ge.ModelUnavailableError, match="cannot be read"):
            load_tiny(tmp_path)
    with pytest.raises(ge.InvalidArgumentError, match="even heads"):
        NetworkShape(vocabulary=8, width=10, heads=3)


def test_its_own_texts_have_the_form_of_their_task(model: TinyDiffusionModel) -> None:
    """Without any constraint: most of what it writes begins and ends as it should, and some of it is JSON."""
    compiled = model.compiler.compile_json_schema({})
    prompts = [prompt for prompt, _ in pairs(777, 60) if prompt.startswith(("person", "point", "list", "numbers"))]
    results: list[Any] = ge.diffusion.generate(
        model, prompts, compiled, method="none", schedule="low-confidence", slots=32, seed=0
    )
    texts = [result.text for result in results]
    assert len(texts) >= 15
    formed = [text for text in texts if text[:1] in "[{" and text[-1:] in "]}"]
    assert len(formed) >= 0.7 * len(texts)
