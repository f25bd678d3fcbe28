"""Losses over the batch of all processes: value and gradient of one process alone."""

import pytest
import torch

from pipeline.training.gather import ALONE, Gather
from pipeline.training.method import Batch, Partners
from tests.support.two_processes import on_processes

ROWS = torch.sin(torch.arange(5 * 3.0)).view(5, 3)
WEIGHT = torch.cos(torch.arange(3 * 2.0)).view(3, 2)


def coupled_loss(z):
    """Every row meets every other one."""
    return (torch.cdist(z, z) ** 2).mean() + (z.mean(dim=0) ** 3).sum()


def step(rank, rows, n_processes):
    """Loss and gradient of the weight as data-parallel training averages it."""
    counts = tuple(len(rows[r::n_processes]) for r in range(n_processes))
    gather = Gather(counts, rank)
    weight = WEIGHT.clone().requires_grad_()
    # A process without a sample of its own goes along with one that does not count.
    mine = rows[rank::n_processes] if counts[rank] else rows[:1]
    loss = coupled_loss(gather.rows(mine @ weight))
    loss.backward()
    gradient = weight.grad
    torch.distributed.all_reduce(gradient)
    return loss.detach(), gradient / n_processes, gather.mean(mine[:, 0])


@pytest.mark.parametrize("n_rows", [4, 5, 1])
def test_two_processes_get_the_loss_and_gradient_of_one(n_rows):
    rows = ROWS[:n_rows]
    weight = WEIGHT.clone().requires_grad_()
    expected = coupled_loss(rows @ weight)
    expected.backward()
    for loss, gradient, mean in on_processes(2, step, rows, 2):
        torch.testing.assert_close(loss, expected.detach())
        torch.testing.assert_close(gradient, weight.grad)
        torch.testing.assert_close(mean, rows[:, 0].mean())


CHOSEN = torch.tensor([True, False, True, False, True])
"""Of two processes that take turns: all of the first one's rows, none of the second one's."""


def step_of_chosen(rank, n_processes):
    """Loss and gradient of the weight, of rows that a mask of all chooses."""
    counts = tuple(len(ROWS[r::n_processes]) for r in range(n_processes))
    mine = ROWS[rank::n_processes]
    everyone = Gather(counts, rank).rows(mine)
    mask = (everyone[:, None] == ROWS[CHOSEN][None]).all(dim=2).any(dim=1)
    batch = Batch((mine,), mine[:, 0].long(), mine[:, 1].long(), Gather(counts, rank))
    part = batch.part(batch.gather.chosen(mask))
    weight = WEIGHT.clone().requires_grad_()
    loss = coupled_loss(part.gather.rows(part.x @ weight))
    loss.backward()
    gradient = weight.grad
    if n_processes > 1:
        torch.distributed.all_reduce(gradient)
    return loss.detach(), gradient / n_processes, part.x


def test_chosen_rows_are_those_of_the_mask():
    loss, _, rows = step_of_chosen(0, 1)
    assert torch.equal(rows, ROWS[CHOSEN])
    torch.testing.assert_close(loss, coupled_loss(ROWS[CHOSEN] @ WEIGHT))


def test_a_chosen_part_is_of_its_step_without_what_goes_along_with_all_rows():
    y = ROWS[:, 0].long()
    other = Batch((ROWS,), y, y)
    whole = Batch(
        (ROWS,), y, y, partners=Partners((ROWS,), y), parts={"all": other}, seed=7, done=0.5
    )
    part = whole.part(whole.gather.chosen(CHOSEN))
    assert (part.partners, dict(part.parts), part.seed, part.done) == (None, {}, 7, 0.5)


@pytest.mark.slow
def test_a_process_without_a_chosen_row_goes_along_with_one_that_does_not_count():
    one, gradient, _ = step_of_chosen(0, 1)
    (_, _, own), (_, _, instead) = found = on_processes(2, step_of_chosen, 2)
    assert torch.equal(own, ROWS[0::2])
    assert torch.equal(instead, ROWS[1:2])
    for loss, joined, _ in found:
        torch.testing.assert_close(loss, one)
        torch.testing.assert_close(joined, gradient)


def test_one_process_has_everything_already():
    assert ALONE.rows(ROWS) is ROWS
    assert ALONE.mean(ROWS[:, 0]) == ROWS[:, 0].mean()


def test_rows_know_their_places_in_the_step():
    assert ALONE.places(ROWS).tolist() == [0, 1, 2, 3, 4]
    gathers = [Gather((2, 2, 1), rank) for rank in range(3)]
    mine = [ROWS[rank::3] for rank in range(3)]
    places = [gather.places(own).tolist() for gather, own in zip(gathers, mine, strict=True)]
    assert places == [[0, 3], [1, 4], [2]]
