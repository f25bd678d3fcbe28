"""What a session gives its method: passes over the training samples, with views of the epoch."""

import torch

from tests.support.toy_methods import Plain, toy_session


def test_a_pass_over_the_samples_draws_its_views_anew_in_each_epoch():
    context = toy_session(Plain).context

    def shown(**asked):
        return context.predict_train(function=lambda *x: torch.cat([*x], 2).flatten(1), **asked)

    plain, weak = shown(), shown(views=("weak",))
    assert not torch.equal(plain, weak)
    assert torch.equal(weak, shown(views=("weak",)))
    assert torch.equal(weak, shown(augmented=True))
    assert torch.equal(plain, shown(views=("plain",)))
    first, second = shown(views=("weak", "weak")).chunk(2, dim=1)
    assert torch.equal(first, weak)
    assert not torch.equal(first, second)
    context.epoch += 1
    assert not torch.equal(weak, shown(views=("weak",)))
