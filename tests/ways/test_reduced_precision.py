"""What holds for every method: its networks compute in the precision of the run, always."""

import pytest
import torch
from accelerate.state import AcceleratorState, GradientState
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

from pipeline.config import Execution
from pipeline.runs.pretraining import carry_out
from pipeline.training.processes import Processes
from tests.support.lab import PARAMS, write_params
from tests.support.runs import planned
from tests.support.tiny_encoder import ENTRY
from tests.ways.test_compiled_runs import CASES, COMMON


def forget():
    """A program has one precision: let it have another one."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


@pytest.fixture
def anew():
    forget()
    yield
    forget()


@pytest.mark.parametrize(("name", "own"), CASES)
def test_training_evaluation_and_predictions_compute_in_bf16(lab, anew, name, own):
    entry = ENTRY | {"precision": "bf16"}
    write_params(lab, PARAMS | {"encoders": {"simclr-digits": entry}})
    plan = planned(name, precision="bf16", **COMMON, **own)
    kinds = {True: set(), False: set()}

    def note(module, given, result):
        del given
        # Frozen encoders compute what files hold, in float32.
        if isinstance(module, nn.Conv2d) and module.weight.requires_grad:
            kinds[torch.is_grad_enabled()].add(result.dtype)

    handle = register_module_forward_hook(note)
    try:
        carry_out(plan, Execution(tracking=False), Processes("bf16"))
    finally:
        handle.remove()
    assert kinds == {True: {torch.bfloat16}, False: {torch.bfloat16}}
