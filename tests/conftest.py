"""What tests share: one thread per process, the data beside the checkout, a tiny model, the embedded model.

The tiny model is random but real: byte-level BPE, left padding, pad == eos, logits wider than the tokenizer.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: two threads on two busy cores are slower than one
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
if not os.environ.get("GRAMMAR_ENGINE_TEST_GPU"):  # set by `make test-gpu`
    os.environ["TRITON_INTERPRET"] = "1"  # before triton: kernels run on the CPU, operation by operation
os.environ["GRAMMAR_ENGINE_MASK_CACHE"] = ""  # off: tests neither read nor write the user's mask rows

from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("GRAMMAR_ENGINE_SHARED", ROOT.parent / "shared"))

_CORPUS = [
    "The quick brown fox jumps over the lazy dog. Once upon a time there was a town.",
    '{"name": "Ada", "age": 36, "tags": ["a", "b"], "ok": true, "none": null}',
    "yes no maybe 0123456789 12 34 56 3.14 héllo 日本 🎉",
]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The data folder beside the checkout."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the shared data folder, which is not at {folder}")
    return folder


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def triton_device(request: pytest.FixtureRequest) -> Any:
    """Where Triton's kernels run: in the interpreter on the CPU, and with ``make test-gpu`` on a GPU."""
    torch = pytest.importorskip("torch", reason="needs the extra hf")
    pytest.importorskip("triton", reason="needs triton, which the extra cuda brings (Linux only)")
    if request.param == "cuda":
        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")
        if os.environ.get("TRITON_INTERPRET"):
            pytest.skip("kernels are interpreted in this process; run `make test-gpu`")
    elif not os.environ.get("TRITON_INTERPRET"):
        pytest.skip("kernels are compiled in this process, for a GPU")
    return torch.device(request.param)


@pytest.fixture(scope="session")
def tiny_pair() -> tuple[Any, Any]:
    """A Hugging Face model (2 layers, fp32, seeded) and its tokenizer; 512 logits, fewer tokens, context of 160."""
    torch = pytest.importorskip("torch", reason="needs the extra hf")
    transformers = pytest.importorskip("transformers", reason="needs the extra hf")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=330, special_tokens=["<|end|>"], initial_alphabet=alphabet, show_progress=False
    )
    raw.train_from_iterator(_CORPUS, trainer)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=raw, eos_token="<|end|>", pad_token="<|end|>", padding_side="left"
    )
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=512,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=160,
        initializer_range=0.4,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
    )
    return transformers.LlamaForCausalLM(config).eval(), tokenizer


@pytest.fixture(scope="session")
def tiny_model(tiny_pair: tuple[Any, Any]) -> Any:
    """The tiny pair as a ``Model``."""
    from grammar_engine.models import load_model

    return load_model(tiny_pair)


@pytest.fixture(scope="session")
def smollm2() -> Any:
    """The embedded model; tests do not fetch it, ``make test`` does."""
    pytest.importorskip("torch", reason="needs the extra hf")
    from grammar_engine import embedded
    from grammar_engine.models import load_model

    if embedded.cached_path() is None:
        pytest.skip("the embedded model is not in the cache folder; run `make model`")
    return load_model("smollm2")
