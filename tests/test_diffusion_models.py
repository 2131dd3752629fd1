"""Adapters of published diffusion models: ids, shift, rows of different lengths, recognition, and clear errors."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra hf")
transformers = pytest.importorskip("transformers", reason="needs the extra hf")

from diffusion_stubs import DreamStub, LladaStub, MdlmStub, MeanNetwork, byte_tokenizer

import grammar_engine as ge
from grammar_engine.diffusion import DiffusionModel, load_diffusion_model
from grammar_engine.diffusion.families import recognised
from grammar_engine.models import ModelRegistry

EOS, MASK = "<|endoftext|>", "<|mask|>"
WIDTH = 264
"""256 bytes, two control tokens, six rows of padding."""


def tokenizer(**roles: str) -> Any:
    return byte_tokenizer(EOS, MASK, **{"eos_token": EOS, **roles})


def bert(width: int = WIDTH, **config: Any) -> Any:
    torch.manual_seed(0)
    settings = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "hidden_size": 16, **config}
    return transformers.BertForMaskedLM(transformers.BertConfig(vocab_size=width, initializer_range=0.5, **settings))


def modern_bert() -> Any:
    torch.manual_seed(0)
    config = transformers.ModernBertConfig(
        vocab_size=WIDTH,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        initializer_range=0.5,
        pad_token_id=256,
        cls_token_id=None,
        sep_token_id=None,
        bos_token_id=None,
        eos_token_id=None,
        max_position_embeddings=64,
    )
    return transformers.ModernBertForMaskedLM(config)


def models() -> dict[str, DiffusionModel]:
    named = tokenizer(mask_token=MASK)
    return {
        "llada": load_diffusion_model((LladaStub(WIDTH, mask_token_id=257), tokenizer())),
        "dream": load_diffusion_model((DreamStub(WIDTH, mask_token_id=257), tokenizer())),
        "mdlm": load_diffusion_model((MdlmStub(258), byte_tokenizer(EOS, eos_token=EOS))),
        "bd3lm": load_diffusion_model((MdlmStub(258, "bd3lm"), byte_tokenizer(EOS, eos_token=EOS))),
        "bert": load_diffusion_model((bert(), named)),
        "modern-bert": load_diffusion_model((modern_bert(), named)),
    }


@pytest.mark.parametrize("name", ["llada", "dream", "mdlm", "bd3lm", "bert", "modern-bert"])
def test_rows_of_different_lengths_are_as_they_are_alone(name: str) -> None:
    model = models()[name]
    mask, pad, width = model.mask_token_id, model.pad_token_id, 5
    prompts = [[10, 20, 30, 40], [50], [60, 70, 80]]
    longest = max(map(len, prompts))
    slots = [mask, 7, mask, 9, mask]
    ids = torch.tensor([[pad] * (longest - len(prompt)) + prompt + slots for prompt in prompts])
    seen = torch.tensor([[0] * (longest - len(prompt)) + [1] * (len(prompt) + width) for prompt in prompts])
    together = model.forward(ids, seen)
    assert together.shape == (3, longest + width, model.vocabulary.size)
    for row, prompt in enumerate(prompts):
        alone = model.forward(torch.tensor([prompt + slots]))
        torch.testing.assert_close(together[row, -width:], alone[0, -width:], rtol=1e-4, atol=1e-5)
    unseen = model.forward(ids)  # the filling would be looked at without a mask
    assert not torch.allclose(unseen[1, -width:], together[1, -width:], atol=1e-3)


@pytest.mark.parametrize("name", ["llada", "dream", "mdlm", "bert", "modern-bert"])
def test_the_forward_is_bidirectional(name: str) -> None:
    model = models()[name]
    mask = model.mask_token_id
    first, last = (model.forward(torch.tensor([[10, mask, mask, end]])) for end in (65, 66))
    assert not torch.allclose(first[0, 1], last[0, 1], atol=1e-4)
    assert not first.requires_grad


def test_special_ids() -> None:
    loaded = models()
    for name in ("llada", "dream", "bert"):
        model = loaded[name]
        assert (model.mask_token_id, model.stop_token_ids, model.vocabulary.size) == (257, (256,), WIDTH)
        assert model.vocabulary[257] is None
    assert [loaded[name].mask_token_id for name in ("mdlm", "bd3lm")] == [
        257,
        257,
    ]  # the id behind the tokenizer's last
    assert {name for name, model in loaded.items() if model.shift} == {"dream"}
    assert loaded["bert"].pad_token_id == 256  # BertConfig's pad 0 is a byte here
    assert loaded["mdlm"].context_length == 64


@pytest.mark.parametrize(("stub", "mask", "width"), [(LladaStub, 126_336, 126_464), (DreamStub, 151_666, 152_064)])
def test_the_published_mask_ids_are_known(stub: type[MeanNetwork], mask: int, width: int) -> None:
    tokens = [None if i == mask or i > width - 1000 else b"%d" % i for i in range(width)]
    compiler = ge.GrammarCompiler(ge.Vocabulary(tokens, stop_token_ids=[width - 500]), cache_dir="")
    model = load_diffusion_model((stub(width), None), compiler=compiler)
    assert model.mask_token_id == mask
    assert model.shift == (stub is DreamStub)


def test_dream_is_asked_as_its_own_code_asks() -> None:
    network = DreamStub(WIDTH, mask_token_id=257)
    model = load_diffusion_model((network, tokenizer()))
    ids = torch.tensor([[256, 1, 2, 257]])
    model.forward(ids)
    assert network.asked == {"attention_mask": "full", "position_ids": None}
    model.forward(ids, torch.tensor([[0, 1, 1, 1]]))
    assert network.asked["position_ids"].tolist() == [[1, 0, 1, 2]]
    assert network.asked["attention_mask"][0, 0].tolist() == [[False] * 4] + [[False, True, True, True]] * 3


def test_the_shift_is_undone_and_can_be_set() -> None:
    ids = torch.tensor([[1, 2, 257, 3]])
    network = DreamStub(WIDTH, mask_token_id=257)
    shifted = load_diffusion_model((network, tokenizer())).forward(ids)
    with torch.no_grad():
        plain = network.logits(ids)
    torch.testing.assert_close(shifted[:, 1:], plain[:, 1:])  # the stub says at i what is at i + 1
    assert load_diffusion_model((LladaStub(WIDTH, mask_token_id=257), tokenizer()), shift=True).shift
    assert not load_diffusion_model((network, tokenizer()), shift=False).shift


def test_timed_networks_are_told_no_time() -> None:
    for family, sampling in (("mdlm", False), ("bd3lm", True)):
        network = MdlmStub(258, family)
        load_diffusion_model((network, byte_tokenizer(EOS, eos_token=EOS))).forward(torch.tensor([[1, 257]]))
        assert network.asked["timesteps"].tolist() == [0.0]
        assert network.asked["sample_mode"] is sampling
    with pytest.raises(ge.InvalidArgumentError, match="time_conditioning"):
        load_diffusion_model((MdlmStub(258, time_conditioning=True), byte_tokenizer(EOS, eos_token=EOS)))


def test_recognition() -> None:
    assert recognised({"model_type": "llada"}).name == "llada"
    assert recognised({"model_type": "Dream"}).name == "dream"
    assert recognised({"architectures": ["LLaDAModelLM"]}).name == "llada"
    assert recognised({"architectures": ["RobertaForMaskedLM"]}).name == "masked-lm"
    assert recognised({"model_type": "bert"}, "BertForMaskedLM").name == "masked-lm"
    assert recognised({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}, "LlamaForCausalLM") is None
    with pytest.raises(ge.InvalidArgumentError, match=r"MeanNetwork.*name its family \(llada, dream"):
        load_diffusion_model((MeanNetwork(WIDTH), tokenizer()))
    named = load_diffusion_model((LladaStub(WIDTH), tokenizer(mask_token=MASK)), family="masked-lm")
    assert named.mask_token_id == 257
    with pytest.raises(ge.InvalidArgumentError, match="named 'gpt'"):
        load_diffusion_model((LladaStub(WIDTH), tokenizer()), family="gpt")


def test_a_mask_id_is_needed_and_must_be_no_text() -> None:
    with pytest.raises(ge.TokenizerError, match="no mask id"):
        load_diffusion_model((bert(), tokenizer()))
    assert load_diffusion_model((bert(), tokenizer()), mask_token_id=257).mask_token_id == 257
    with pytest.raises(ge.TokenizerError, match=r"the mask id 65 is an ordinary token, the text b'"):
        load_diffusion_model((LladaStub(WIDTH, mask_token_id=65), tokenizer()))
    # a token that is there, but that its tokenizer takes for text
    written = byte_tokenizer(EOS, text=("[MASK]",), eos_token=EOS)
    with pytest.raises(ge.TokenizerError, match=r"the mask id 256 is an ordinary token, the text b'\[MASK\]'"):
        load_diffusion_model((LladaStub(WIDTH, mask_token_id=256), written))
    with pytest.raises(ge.TokenizerError, match="the ids 0 to 263"):
        load_diffusion_model((LladaStub(WIDTH), tokenizer()))  # 126336, which this small one does not have
    with pytest.raises(ge.TokenizerError, match="says that the mask is 258, the tokenizer that it is 257"):
        load_diffusion_model((LladaStub(WIDTH, mask_token_id=258), tokenizer(mask_token=MASK)))


@pytest.mark.parametrize("width", [257, 5000])
def test_a_tokenizer_of_another_size_is_refused(width: int) -> None:
    with pytest.raises(ge.TokenizerError, match=rf"tokenizer has 258 ids, but the network's logits are {width} wide"):
        load_diffusion_model((bert(width), tokenizer(mask_token=MASK)))


def test_a_network_whose_logits_are_narrower_than_it_says_is_refused() -> None:
    network = LladaStub(WIDTH, mask_token_id=257)
    network.head = torch.nn.Linear(8, 200)
    with pytest.raises(ge.TokenizerError, match="logits are 200 wide"):
        load_diffusion_model((network, tokenizer())).forward(torch.tensor([[1]]))


def test_stop_ids() -> None:
    plain = byte_tokenizer(MASK, "[SEP]", mask_token=MASK, sep_token="[SEP]")
    assert load_diffusion_model((bert(), plain)).stop_token_ids == (257,)
    assert load_diffusion_model((bert(), plain), stop_token_ids=[260]).stop_token_ids == (260,)
    declared = LladaStub(WIDTH, mask_token_id=257, eos_token_id=[256, 259, 65])  # 65 is text
    assert load_diffusion_model((declared, tokenizer())).stop_token_ids == (256, 259)
    with pytest.raises(ge.TokenizerError, match="no stop id"):
        load_diffusion_model((bert(), byte_tokenizer(MASK, mask_token=MASK)))
    compiler = ge.GrammarCompiler(ge.Vocabulary.from_huggingface(tokenizer(), vocab_size=WIDTH), cache_dir="")
    with pytest.raises(ge.InvalidArgumentError, match="stop_token_ids"):
        load_diffusion_model((LladaStub(WIDTH), tokenizer()), stop_token_ids=[1], compiler=compiler)


@pytest.mark.parametrize(
    "setting",
    [{"family": "llada"}, {"mask_token_id": 3}, {"shift": True}, {"chat": True}, {"dtype": "bfloat16"}],
    ids=lambda setting: next(iter(setting)),
)
def test_settings_that_a_model_does_not_take_are_refused(setting: dict[str, Any]) -> None:
    for model in ("tiny-dlm", models()["llada"]):
        with pytest.raises(ge.InvalidArgumentError, match=f"takes no {next(iter(setting))}"):
            load_diffusion_model(model, **setting)


def test_pairs_take_no_second_tokenizer() -> None:
    with pytest.raises(ge.InvalidArgumentError, match="takes no tokenizer"):
        load_diffusion_model((bert(), tokenizer(mask_token=MASK)), tokenizer="gpt2")


def test_zero_slots_and_too_long() -> None:
    model = models()["mdlm"]
    with pytest.raises(ge.LimitExceededError, match="nothing to fill"):
        model.forward(torch.zeros(1, 0, dtype=torch.int64))
    with pytest.raises(ge.LimitExceededError, match="context of 64"):
        model.forward(torch.zeros(1, 65, dtype=torch.int64))
    with pytest.raises(ge.InvalidArgumentError, match="only the left"):
        model.forward(torch.tensor([[1, 2, 3]]), torch.tensor([[1, 0, 1]]))


def test_load_model_recognises_pairs_and_keeps_their_compiler(tiny_pair: Any) -> None:
    pair = (bert(), tokenizer(mask_token=MASK))
    registry = ModelRegistry()
    first, second = registry.get(pair), registry.get(pair)
    assert isinstance(first, DiffusionModel)
    assert first.compiler is second.compiler
    assert isinstance(ge.load_model(pair), DiffusionModel)
    assert isinstance(ge.load_model(tiny_pair), ge.Model)
    assert load_diffusion_model(first) is first


def test_load_model_recognises_folders(tmp_path: Path, tiny_pair: Any) -> None:
    bert().save_pretrained(tmp_path / "bert")
    tokenizer(mask_token=MASK).save_pretrained(tmp_path / "bert")
    model = ge.load_model(str(tmp_path / "bert"), device="cpu")
    assert isinstance(model, DiffusionModel)
    assert model.mask_token_id == 257
    for part in tiny_pair:
        part.save_pretrained(tmp_path / "llama")
    assert isinstance(ge.load_model(str(tmp_path / "llama"), device="cpu"), ge.Model)
    with pytest.raises(ge.InvalidArgumentError, match="no masked diffusion model that is known"):
        load_diffusion_model(tmp_path / "llama")
    with pytest.raises(ge.ModelUnavailableError, match="nowhere"):
        load_diffusion_model("/nowhere")


_REMOTE = """
import torch
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import MaskedLMOutput


class LLaDAConfig(PretrainedConfig):
    model_type = "llada"

    def __init__(self, vocab_size=264, **rest):
        self.vocab_size = vocab_size
        super().__init__(**rest)


class LLaDAModelLM(PreTrainedModel):
    config_class = LLaDAConfig

    def __init__(self, config):
        super().__init__(config)
        self.head = torch.nn.Embedding(config.vocab_size, config.vocab_size)
        self.post_init()

    def forward(self, input_ids, attention_mask=None):
        return MaskedLMOutput(logits=self.head(input_ids))
"""


def test_code_that_comes_with_weights_is_run_only_when_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder = tmp_path / "llada-stub"
    folder.mkdir()
    (folder / "modeling_llada.py").write_text(_REMOTE)
    (folder / "config.json").write_text(
        '{"model_type": "llada", "architectures": ["LLaDAModelLM"], "vocab_size": 264, "mask_token_id": 257,'
        ' "auto_map": {"AutoConfig": "modeling_llada.LLaDAConfig", "AutoModel": "modeling_llada.LLaDAModelLM"}}'
    )
    tokenizer().save_pretrained(folder)
    from safetensors.torch import save_file

    save_file({"head.weight": torch.eye(264)}, folder / "model.safetensors", metadata={"format": "pt"})
    for load in (load_diffusion_model, ge.load_model):
        with pytest.raises(ge.ModelUnavailableError, match="trust_remote_code=True"):
            load(str(folder), device="cpu")
        model = load(str(folder), device="cpu", trust_remote_code=True)
        assert isinstance(model, DiffusionModel)
        assert (model.mask_token_id, model.shift) == (257, False)
        ids = torch.tensor([[3, 257]])
        assert torch.equal(model.forward(ids).argmax(-1), ids)


def test_outputs_of_other_kinds() -> None:
    class Tuple(LladaStub):
        def forward(self, input_ids: torch.Tensor) -> Any:
            return (self.logits(input_ids), SimpleNamespace())

    model = load_diffusion_model((Tuple(WIDTH, mask_token_id=257), tokenizer()))
    assert model.forward(torch.tensor([[1, 2]])).shape == (1, 2, WIDTH)
