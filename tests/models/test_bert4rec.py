"""What holds for BERT4Rec instead of causality, and how it is asked."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from finestrec.data.log import InteractionLog
from finestrec.data.sequences import MASK, PADDING, SequenceBatch, windows
from finestrec.errors import OptionError
from finestrec.models import BERT4Rec, build_model

N = 30


def evaluated(**options: object) -> BERT4Rec:
    model = build_model("bert4rec", N, 0, {"hidden": 16, **options}).eval()
    assert isinstance(model, BERT4Rec)
    for parameter in model.parameters():  # far from the small weights at which nothing depends on anything
        torch.nn.init.normal_(parameter, std=0.5, generator=torch.Generator().manual_seed(parameter.numel()))
    return model


def asking(rows: list[list[int]]) -> SequenceBatch:
    """A batch that asks for its masks."""
    width = max(map(len, rows))
    items = torch.tensor([row + [PADDING] * (width - len(row)) for row in rows])
    positions = torch.nonzero((items == MASK).flatten()).squeeze(1)
    return SequenceBatch(
        items=items,
        times=torch.zeros_like(items),
        lengths=torch.tensor([len(row) for row in rows]),
        positions=positions,
        targets=torch.full_like(positions, -1),
        ids=np.full(len(positions), -1),
    )


def answers(model: BERT4Rec, rows: list[list[int]]) -> Tensor:
    batch = asking(rows)
    return model.scores(batch.at_positions(model.hidden(batch)))


@pytest.mark.parametrize("changed", [[9, 2, MASK, 4, 5], [1, 2, MASK, 4, 9]])
def test_a_mask_reads_both_sides(changed: list[int]) -> None:
    model = evaluated()
    before, after = (answers(model, [row]) for row in ([1, 2, MASK, 4, 5], changed))
    assert (before - after).abs().max() > 0.01


def test_what_is_masked_is_not_read(chain: InteractionLog) -> None:
    """Other items at the masked places change the targets, and no score."""
    model, made = evaluated(), windows(chain)
    batch = model.learning_batch(made, np.arange(20), 0, 0)
    at = np.flatnonzero(np.isin(chain.interaction_ids, batch.ids))
    items = chain.items.copy()
    items[at] = (items[at] + 7) % N
    other = model.learning_batch(replace(made, log=replace(chain, items=items)), np.arange(20), 0, 0)
    assert (other.targets != batch.targets).all()
    assert torch.equal(model.hidden(batch), model.hidden(other))


def test_positions_are_counted_from_the_end() -> None:
    """In one batch with a longer row or alone, and the last one of any row is the first of the table."""
    model = evaluated(blocks=1)
    with torch.no_grad():
        model.positions.weight[1:] = model.positions.weight[1]
    same = answers(model, [[1, 2, 3, MASK]])
    torch.testing.assert_close(same, answers(model, [[3, 1, 2, MASK]]))
    torch.testing.assert_close(same[0], answers(model, [[4, 5, 6, 7, 8, 9, MASK], [1, 2, 3, MASK]])[1])
    assert (same - answers(model, [[1, 2, MASK, 3]])).abs().max() > 0.01


def test_what_is_not_asked_for_is_not_computed_and_changes_no_answer() -> None:
    model = evaluated()
    batch = asking([[1, 2, MASK, 4], [MASK, 7]])
    everything = replace(batch, positions=torch.tensor([0, 1, 2, 3, 4, 5]))
    some, each = model.hidden(batch), model.hidden(everything)
    torch.testing.assert_close(batch.at_positions(some), batch.at_positions(each))
    assert (each[0, [0, 1, 3]] != 0).any(1).all()
    assert (some[0, [0, 1, 3]] == 0).all()


def test_about_the_share_is_asked_for(chain: InteractionLog) -> None:
    made = windows(chain)
    for mask in (0.2, 0.5):
        model = evaluated(mask=mask)
        asked = [len(model.learning_batch(made, np.arange(200), 0, epoch).targets) for epoch in range(20)]
        assert abs(np.mean(asked) / made.n_instances - model.predicted_share) < 0.01
        assert model.predicted_share == mask


@pytest.mark.parametrize(("mask", "copies"), [(0.2, 5), (0.3, 3), (0.9, 2)])
def test_lists_are_asked_for_in_copies_with_about_the_share_masked(
    mask: float, copies: int, chain: InteractionLog
) -> None:
    rows = [len(batch.items) for _, batch in evaluated(mask=mask).reference_batches(windows(chain), 1 << 14)]
    # Of 12 instances of a window nearly always one falls to each copy.
    assert (copies - 1) * 200 < sum(rows) <= copies * 200


def test_the_mask_behind_a_prefix_leaves_room_for_one_item_less() -> None:
    with pytest.raises(OptionError, match=r"L is 1; training\.max_length must be at least 2"):
        build_model("bert4rec", N, 0, max_length=1)
    build_model("bert4rec", N, 0, max_length=2)
