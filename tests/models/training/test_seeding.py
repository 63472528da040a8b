from __future__ import annotations

import numpy as np
import torch
from torch import nn

from slicebank_models.training.seeding import RowDraws, SeededDropout, epoch_generator, fold_seed, seed_dropout


def test_drawn_rows_depend_on_fold_epoch_and_place_alone() -> None:
    lengths = np.array([20, 5, 40, 21])
    draws = RowDraws(lengths, 10, epoch_generator(fold_seed(1, 0), 3))
    again = RowDraws(lengths, 10, epoch_generator(fold_seed(1, 0), 3))
    backwards = {place: again.rows(place) for place in (3, 2, 1, 0)}
    for place, length in enumerate(lengths):
        rows = draws.rows(place)
        assert len(rows) == min(length, 10)
        assert (np.diff(rows) > 0).all()
        assert rows[0] >= 0
        assert rows[-1] < length
        np.testing.assert_array_equal(rows, backwards[place])
    for other in (epoch_generator(fold_seed(1, 0), 4), epoch_generator(fold_seed(1, 1), 3)):
        assert (RowDraws(lengths, 10, other).rows(2) != draws.rows(2)).any()


def test_every_row_is_drawn_equally_often() -> None:
    counts = np.zeros(12)
    for epoch in range(3000):
        counts[RowDraws(np.array([12]), 4, epoch_generator(0, epoch)).rows(0)] += 1
    # Binomial(3000, 1/3): sd 25.8
    assert np.abs(counts - 1000).max() < 4.5 * 25.8


def test_dropout_draws_from_its_own_generator_and_keeps_the_mean() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Dropout(0.25)))
    names = set(module.state_dict())
    generator = torch.Generator().manual_seed(5)
    seed_dropout(module, generator)
    assert set(module.state_dict()) == names
    values = torch.ones(200, 200)
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    dropped = module[1](values)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert set(dropped.unique().tolist()) == {0.0, float(torch.tensor(1) / torch.tensor(0.75))}
    assert abs(float(dropped.mean()) - 1) < 0.02
    assert not torch.equal(module[1](values), dropped)
    generator.manual_seed(5)
    assert torch.equal(module[1](values), dropped)
    assert torch.equal(SeededDropout(0.0, generator)(values), values)
    assert torch.equal(module.eval()[1](values), values)
