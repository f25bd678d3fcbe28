"""Trains DivideMix as the official scripts did: with their orders, divisions and mixing draws."""

import torch

from methods.dividemix import PEERS, DivideMix, DivideMixSettings
from pipeline.training.context import Context
from pipeline.training.method import Batch, Problem
from pipeline.training.optimisation import clipped_groups, make_optimizer
from pipeline.training.optimisation.parameter_groups import begin_phase
from tests.support.recorded_mixing import recorded_mixing
from tests.support.reference_arrays import state_of
from tests.support.tiny_networks import tiny_net


class Official:
    """One recorded training.

    Args:
        case: of a reference file.
        own_divisions: fit the mixtures here; otherwise the recorded probabilities are taken.
        settings: beside those of the case.
    """

    def __init__(self, case, own_divisions=False, **settings):
        self.case, self.n_classes = case, int(case["clean"].max()) + 1
        n = len(case["labels"])
        values = {
            "backbone": "small-cnn", "batch_size": case["batch"], "warm_up": case["warm_up"],
            "epochs": case["num_epochs"] + 1, "threshold": case["p_threshold"],
            "unlabelled_weight": float(case["lambda_u"]), "temperature": case["T"],
            "mix_alpha": case["alpha"], "lr": case["lr"], "momentum": case["momentum"],
            "weight_decay": case["weight_decay"], "warm_up_penalty": case["noise_mode"] == "asym",
            "schedule": "constant",
        }  # fmt: skip
        self.settings = DivideMixSettings(**(values | settings))
        n_classes = state_of(case, "net1_end")["fc.weight"].shape[0]
        self.method = DivideMix(self.settings, Problem(n_classes, n, (8, 8, 3)))
        for name, number in zip(PEERS, (1, 2), strict=True):
            self.method.networks[name] = tiny_net(state_of(case, f"net{number}_start"))
        self.optimizer = make_optimizer(self.method, self.settings)
        self.own_divisions = own_divisions
        self.losses, self.terms, self.accuracies, self.divisions = [], [], [], []
        self._orders = iter(zip(case["order_kind"], case["orders"], strict=True))
        self._draws = iter(zip(case["mix_l_raw"].tolist(), case["permutations"], strict=True))
        self.method._mixing = self._mixing
        if not own_divisions:
            self.method._measure = self._measure
        self.context = Context(
            "dividemix", frozenset(), case["labels"], None, n_classes, self.settings.epochs, 0,
            self._predict,
        )  # fmt: skip

    def _predict(self, _augmented, _averaged, samples, function, _views, _training):
        self.method.eval()
        with torch.no_grad():
            found = function(self.case["images"][samples])
        self.method.train()
        return found

    def _measure(self, context, samples, name):
        # Of each epoch first the division for network 1, which is by network 2; C2D has others too.
        later = self.settings.epochs - context.epoch
        split = self.case["split_prob"][int(name == PEERS[0]) - 2 * later]
        self.method.division.by(name)[samples] = split.float()

    def _mixing(self, *_):
        return recorded_mixing(*next(self._draws))

    def _order(self, kind):
        found, order = next(self._orders)
        assert found == kind
        return order[order >= 0]

    def _batch(self, rows, views=2):
        x, y = self.case["images"][rows], self.case["labels"][rows]
        return Batch((x, x.flip(3))[:views], y, rows)

    def _steps(self, phase):
        """Batches of a phase, in the recorded orders."""
        if "all" in phase.streams:
            for rows in self._order("warmup").split(2 * self.case["batch"]):
                yield self._batch(rows, views=1)
            return
        size = self.case["batch"]
        unlabelled = iter(self._order("unlabelled").split(size))
        for rows in self._order("labelled").split(size):
            others = next(unlabelled, None)
            if others is None:
                unlabelled = iter(self._order("unlabelled").split(size))
                others = next(unlabelled)
            parts = {"labelled": self._batch(rows), "unlabelled": self._batch(others)}
            yield Batch(parts["labelled"].views, parts["labelled"].y_noisy, rows, parts=parts)

    def train(self):
        """All epochs."""
        for number in range(self.settings.epochs):
            self.context.epoch = number
            self.method.train()
            self.method.epoch_start(self.context)
            for phase in self.method.phases(self.context):
                self.context.phase = phase
                self._train_phase()
            self.method.epoch_end(self.context)
            self.method.eval()
            predicted = self.method.predict(self.case["images"]).argmax(1)
            self.accuracies.append(100 * float((predicted == self.case["clean"]).double().mean()))

    def _train_phase(self):
        method = self.method
        phase = method.phase_start(self.context)
        if "labelled" in phase.streams:
            labelled = torch.zeros(len(self.case["labels"]), dtype=torch.bool)
            labelled[phase.streams["labelled"].samples] = True
            self.divisions.append(labelled)
        still = begin_phase(self.optimizer, phase, method, False)
        for batch in self._steps(phase):
            output = method(batch)
            loss = output.loss if output.coupled is None else output.loss + output.coupled
            loss.backward()
            for parameter in still:
                parameter.grad = None
            if self.settings.clip_norm is not None:
                for group in clipped_groups(self.optimizer, self.settings):
                    torch.nn.utils.clip_grad_norm_(group, self.settings.clip_norm)
            self.optimizer.step()
            self.optimizer.zero_grad()
            method.step_end(self.context)
            self.losses.append(float(loss.detach()))
