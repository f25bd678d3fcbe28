"""The door to Accelerate: what the environment holds for others, precision, failing together."""

import os
from types import SimpleNamespace

import pytest
import torch
from polars.testing import assert_frame_equal
from torch import nn

from pipeline.config import RunSettings
from pipeline.encoders.distances import proper_float32
from pipeline.errors import LabError
from pipeline.training.processes import Processes, set_determinism
from tests.support.paths import PROJECT
from tests.support.programs import PYTHON, SCRIPT, finish
from tests.support.runs import numbers, run
from tests.support.tiny_session import Tiny
from tests.support.two_processes import on_processes

FOREIGN = {
    "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "8",
    "ACCELERATE_MIXED_PRECISION": "bf16",
    "ACCELERATE_DYNAMO_BACKEND": "EAGER",
    "ACCELERATE_DYNAMO_MODE": "max-autotune",
    "ACCELERATE_GRADIENT_CLIPPING": "0.001",
    "ACCELERATE_DOWNCAST_BF16": "true",
    "ACCELERATE_SPLIT_BATCHES": "true",
}


@pytest.mark.slow
def test_the_environment_of_other_programs_changes_no_number(lab, monkeypatch):
    expected = numbers(run().key)
    monkeypatch.setenv("LNL_STORE", str(lab / "second"))
    for name, value in FOREIGN.items():
        monkeypatch.setenv(name, value)
    code, out, err = finish(PYTHON, SCRIPT, "--no-tracking", lab=lab)
    assert code == 0, err
    for one, other in zip(expected, numbers(out.split()[1]), strict=True):
        assert_frame_equal(one, other, check_exact=True)


@pytest.mark.parametrize("engine", ["FSDP", "DEEPSPEED", "MEGATRON_LM", "PARALLELISM_CONFIG"])
def test_another_engine_is_refused(monkeypatch, engine):
    monkeypatch.setenv(f"ACCELERATE_USE_{engine}", "true")
    with pytest.raises(LabError, match=f"ACCELERATE_USE_{engine} is set.*; try: unset"):
        Processes()


def refused(rank, precision):
    """The error of a program that starts in a precision; on processes of its own."""
    try:
        Processes(precision)
    except LabError as error:
        return str(error)
    return ""


def test_fp16_is_refused_where_it_would_be_fp32(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (message,) = on_processes(1, refused, "fp16")
    assert message.startswith("precision fp16 on a CPU")
    assert message.endswith("try: --precision bf16")


def test_only_a_second_precision_is_called_one():
    Processes()
    with pytest.raises(LabError, match="bf16 after another one.*; try: "):
        Processes("bf16")


def test_a_half_made_launch_is_one_line(monkeypatch):
    from accelerate.state import AcceleratorState

    def broken(*_, **__):
        raise ValueError("MASTER_ADDR env was not set")

    monkeypatch.setattr(AcceleratorState, "__init__", broken)
    with pytest.raises(LabError, match="cannot start: MASTER_ADDR.*; expected: .*; try: unset"):
        Processes()


def test_batch_norm_joins_the_processes_where_they_can():
    """Layers are exchanged in the module itself: names and weights stay what checkpoints hold."""
    for device, kind in (("cuda", nn.SyncBatchNorm), ("cpu", nn.BatchNorm2d)):
        method = Tiny().to("meta")
        before = {name: value.shape for name, value in method.state_dict().items()}
        two = SimpleNamespace(n_processes=2, device=torch.device(device))
        assert Processes.synchronised(two, method) is method
        assert type(method.network[0]) is kind
        assert {name: value.shape for name, value in method.state_dict().items()} == before


def failing(rank, who):
    processes = Processes()
    try:
        with processes.together():
            if rank in who:
                raise OSError(f"process {rank}")
    except (OSError, LabError) as error:
        return type(error).__name__
    return "fine"


@pytest.mark.parametrize(
    ("who", "ends"),
    [
        pytest.param([], ["fine", "fine"], marks=pytest.mark.slow),
        ([1], ["ToldElsewhere", "OSError"]),
        pytest.param([0, 1], ["OSError", "OSError"], marks=pytest.mark.slow),
    ],
)
def test_no_process_waits_for_one_that_failed(who, ends):
    assert on_processes(2, failing, who) == ends


def test_a_run_without_determinism_leaves_it_open_to_the_next_one(monkeypatch):
    monkeypatch.setattr(os, "environ", {})
    set_determinism("off")
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


@pytest.mark.parametrize(
    ("settings", "convolutions", "tf32"),
    [
        ({}, False, False),
        ({"determinism": "off"}, True, False),
        ({"determinism": "off", "cudnn_benchmark": False}, False, False),
        ({"determinism": "warn", "cudnn_benchmark": True}, True, False),
        ({"tf32": True}, False, True),
    ],
)
def test_what_rounds_otherwise_is_a_setting(settings, convolutions, tf32):
    own = RunSettings(**settings)
    try:
        set_determinism(own.determinism, own.tf32, own.times_convolutions)
        assert torch.backends.cudnn.benchmark == convolutions
        assert torch.backends.cudnn.allow_tf32 == torch.backends.cuda.matmul.allow_tf32 == tf32
        assert (torch.backends.cuda.matmul.fp32_precision == "tf32") == tf32
        with proper_float32():
            assert not torch.backends.cudnn.allow_tf32
            assert not torch.backends.cuda.matmul.allow_tf32
        assert torch.backends.cudnn.allow_tf32 == torch.backends.cuda.matmul.allow_tf32 == tf32
    finally:
        set_determinism("error")


@pytest.mark.slow
def test_a_run_imports_no_compiler(lab):
    code = (
        "import sys; from tests.support.runs import run; "
        "run(noise='pair-40', loss='ce', epochs=1); "
        "unused = {'torch._dynamo', 'torch._inductor', 'torch.utils.flop_counter', 'sympy'}; "
        "print(sorted(unused & set(sys.modules)))"
    )
    found, out, err = finish(PYTHON, "-c", code, lab=lab, cwd=PROJECT)
    assert (found, out.splitlines()[-1:]) == (0, ["[]"]), err
