"""The interface of diffusion models: what it checks, and that a shifted network's logits arrive where they belong."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import grammar_engine as ge
from grammar_engine.diffusion import DiffusionModel

MASK, EOS, PAD = 5, 4, 6
TOKENS = [b"a", b"b", b"{", b"}", None, None, None]


def vocabulary(stops: tuple[int, ...] = (EOS,)) -> ge.Vocabulary:
    return ge.Vocabulary(TOKENS, stop_token_ids=stops, special_token_ids=[MASK, PAD])


class Echo(DiffusionModel):
    """Says at each position which id it saw there, and how wide its attention was."""

    seen: torch.Tensor | None = None
    device = torch.device("cpu")

    def network_logits(self, ids: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor:
        self.seen = attention_mask
        return torch.nn.functional.one_hot(ids, 9).float()  # two rows more than the vocabulary, as padding has it


def echo(**settings: object) -> Echo:
    return Echo(ge.GrammarCompiler(vocabulary(), cache_dir=""), **{"mask_token_id": MASK, **settings})


def test_logits_are_as_wide_as_the_vocabulary_and_speak_of_their_own_position() -> None:
    ids = torch.tensor([[0, 1, MASK], [2, MASK, 3]])
    logits = echo().forward(ids)
    assert logits.shape == (2, 3, len(TOKENS))
    assert torch.equal(logits.argmax(-1), ids)


def test_the_shift_of_a_network_is_undone() -> None:
    ids = torch.tensor([[0, 1, MASK, 3]])
    assert echo(shift=True).forward(ids).argmax(-1).tolist() == [[0, 0, 1, MASK]]


@pytest.mark.parametrize("shift", [False, True])
def test_blocks_are_cut_from_the_whole(shift: bool) -> None:
    model, ids = echo(shift=shift), torch.tensor([[0, 1, MASK, 3, 2, 2]])
    model.begin_block(ids, 2, 5)
    assert torch.equal(model.forward_block(ids, 2, 5), model.forward(ids)[:, 2:5])
    for start, stop in ((-1, 2), (2, 2), (3, 7)):
        with pytest.raises(ge.InvalidArgumentError, match="start"):
            model.begin_block(ids, start, stop)
        with pytest.raises(ge.InvalidArgumentError, match="start"):
            model.forward_block(ids, start, stop)


def test_masks_become_bool_and_one_that_hides_nothing_is_none() -> None:
    model, ids = echo(), torch.tensor([[PAD, 1], [0, 1]])
    model.forward(ids, torch.tensor([[0, 1], [1, 1]]))
    assert model.seen is not None
    assert model.seen.dtype == torch.bool
    model.forward(ids, torch.ones(2, 2, dtype=torch.int64))
    assert model.seen is None
    with pytest.raises(ge.InvalidArgumentError, match="mask of shape"):
        model.forward(ids, torch.ones(2, 3))


def test_zero_slots_wrong_types_and_too_many_positions_are_errors() -> None:
    model = echo(context_length=4)
    with pytest.raises(ge.LimitExceededError, match="nothing to fill"):
        model.forward(torch.zeros(1, 0, dtype=torch.int64))
    with pytest.raises(ge.LimitExceededError, match="context of 4"):
        model.forward(torch.zeros(1, 5, dtype=torch.int64))
    for wrong in (torch.zeros(3, dtype=torch.int64), torch.zeros(1, 3)):
        with pytest.raises(ge.InvalidArgumentError, match="int64"):
            model.forward(wrong)


def test_special_ids_are_checked() -> None:
    with pytest.raises(ge.TokenizerError, match=r"the mask id 1 is an ordinary token, the text b'b'"):
        echo(mask_token_id=1)
    with pytest.raises(ge.TokenizerError, match=r"the pad id 2 is an ordinary token"):
        echo(pad_token_id=2)
    for wrong in (-1, 7, True, np.float64(5)):
        with pytest.raises(ge.TokenizerError, match="the ids 0 to 6"):
            echo(mask_token_id=wrong)
    for wrong in (EOS, PAD):
        with pytest.raises(ge.TokenizerError, match="cannot be the mask"):
            echo(mask_token_id=wrong, pad_token_id=PAD)
    with pytest.raises(ge.TokenizerError, match="no stop id"):
        Echo(ge.GrammarCompiler(vocabulary(stops=()), cache_dir=""), mask_token_id=MASK)


def test_defaults() -> None:
    model = echo()
    assert (model.pad_token_id, model.stop_token_ids, model.shift, model.chat) == (EOS, (EOS,), False, False)
    assert model.vocabulary is model.compiler.vocabulary
    assert ge.load_model(model) is model
    with pytest.raises(ge.InvalidArgumentError, match="no tokenizer"):
        model.encode("a")
    with pytest.raises(ge.InvalidArgumentError, match="no chat template"):
        echo(chat=True)
