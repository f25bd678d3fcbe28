"""The one door to Accelerate: device, processes, gradients, and exact sums over processes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import GradientAccumulationPlugin
from torch import Tensor, nn

from pipeline.errors import LabError, ToldElsewhere
from pipeline.training.gather import ALONE, Gather
from pipeline.training.launcher import end_with_launcher

Module = TypeVar("Module", bound=nn.Module)
Result = TypeVar("Result")

_OTHER_ENGINES = {
    "ACCELERATE_USE_FSDP": "FSDP",
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "model parallelism",
}
"""Environment variables of Accelerate that hand training to another engine."""


class Processes:
    """The processes of this program, one process each.

    Args:
        precision: `fp32`, `bf16` or `fp16`; one program uses one precision.

    Raises:
        LabError: when the program already runs in another precision, when the device does not have
            it, or when the environment asks Accelerate for another way of training.
    """

    def __init__(self, precision: str = "fp32") -> None:
        self._accelerator = _accelerator(precision)
        self.device = self._accelerator.device
        if precision == "fp16" and self.device.type == "cpu":
            raise LabError(
                "precision fp16 on a CPU, where Accelerate would train in fp32",
                "fp32 or bf16 on a CPU, fp16 on a GPU",
                "--precision bf16",
            )
        end_with_launcher()
        self.rank = self._accelerator.process_index
        self.n_processes = self._accelerator.num_processes
        self.is_main = self._accelerator.is_main_process
        self.uses_graphs = False
        """Whether compiled networks of the present run replay CUDA graphs."""

    @property
    def kind(self) -> str:
        """Name of the device, such as `cpu` or the name of the GPU."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return self.device.type

    def connect(self, module: nn.Module) -> nn.Module:
        """The module to train: mixed precision applied and gradients averaged over processes."""
        with warnings.catch_warnings():
            # Accelerate 1.15 cannot pass the successor of `broadcast_buffers` on yet.
            warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated")
            # It is on the device: to move it, Accelerate would import tensors over several devices.
            return self._accelerator.prepare_model(module, device_placement=False)

    def connect_optimizer(self, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
        """The optimiser to step: skips steps whose fp16 gradients overflowed."""
        if self._accelerator.scaler is None:
            # Accelerate's does nothing else, but looks for optional packages in every step.
            return optimizer
        return self._accelerator.prepare_optimizer(optimizer)

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """Within the block networks compute in the precision of the run, as in training.

        Accelerate applies the precision to `forward` of the connected module only.
        """
        with self._accelerator.autocast():
            yield

    def batch_begins(self) -> None:
        """Say that a step, or a batch of a pass, begins: CUDA graphs may use their memory anew."""
        if self.uses_graphs:
            torch.compiler.cudagraph_mark_step_begin()

    def synchronised(self, module: Module) -> Module:
        """The module with batch norm over the global batch, where the processes can do that."""
        if self.n_processes > 1 and self.device.type == "cuda":
            # Not only a module of the same kind: the same object, its layers exchanged, unless it
            # is itself a batch norm.
            nn.SyncBatchNorm.convert_sync_batchnorm(module)
        return module

    def average_running_statistics(self, module: nn.Module) -> None:
        """Average the running statistics of batch norm over processes, in place."""
        if self.n_processes == 1:
            return
        for name, buffer in module.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                buffer.copy_(self.sum(buffer.clone()) / self.n_processes)

    def backward(self, loss: Tensor, still: Iterable[nn.Parameter] = ()) -> None:
        """Backward pass; gradients are averaged over processes.

        Args:
            loss: scalar.
            still: parameters that get no gradient, whether or not the loss depends on them.
        """
        unmoved = list(still)
        # Several processes wait for a gradient of every parameter: zero will do.
        zeros = [0 * parameter.sum() for parameter in unmoved] if self.n_processes > 1 else []
        self._accelerator.backward(sum(zeros, start=loss))
        for parameter in unmoved:
            # With a zero gradient an optimiser would count a step, and decay the weight.
            parameter.grad = None

    def clip_gradients(self, groups: Iterable[Iterable[nn.Parameter]], norm: float) -> None:
        """Scale the averaged gradient of each group to an L2 norm of at most `norm`."""
        self._accelerator.unscale_gradients()
        for group in groups:
            nn.utils.clip_grad_norm_(group, norm)

    def share(self, n: int) -> Tensor:
        """Which of `n` samples this process works on: int64, ascending."""
        return torch.arange(n, device=self.device)[self.rank :: self.n_processes]

    def gather(self, n: int) -> Gather:
        """What joins the processes in a step over `n` samples, shared out by rank."""
        if self.n_processes == 1:
            return ALONE
        counts = tuple(len(range(rank, n, self.n_processes)) for rank in range(self.n_processes))
        return Gather(counts, self.rank)

    def sum(self, value: Tensor) -> Tensor:
        """Sum over processes, the same on each."""
        if self.n_processes == 1:
            return value
        return self._accelerator.reduce(value, reduction="sum")

    def from_main(self, make: Callable[[], Tensor], like: Tensor) -> Tensor:
        """What the main process makes, on all processes.

        Args:
            make: called on the main process only.
            like: a tensor of the shape and type to expect.
        """
        return self.sum(make().to(like) if self.is_main else torch.zeros_like(like))

    def main_first(self, work: Callable[[], Result]) -> Result:
        """Do something on the main process, then on the others, which find what it made.

        Args:
            work: called once on each process.

        Returns:
            What it returned here.

        Raises:
            ToldElsewhere: on the others, when the main process failed.
        """
        result, failure = None, None
        if self.is_main:
            try:
                result = work()
            except BaseException as raised:
                failure = raised
        if self.largest(int(failure is not None)):
            raise failure or ToldElsewhere(
                "the main process failed",
                "a main process that goes on",
                "what its own message says",
            )
        return result if result is not None else work()

    def of_all(self, value: Tensor) -> Tensor:
        """What each process has, [n_processes, ...], on all of them; shapes must be equal."""
        if self.n_processes == 1:
            return value[None]
        return self._accelerator.gather(value[None])

    def largest(self, value: int) -> int:
        """Largest of one integer per process: how processes agree on a request."""
        return self.largest_of(value)[0]

    def largest_of(self, *values: int) -> tuple[int, ...]:
        """Largest of each of several integers over the processes."""
        if self.n_processes == 1:
            return values
        asked = torch.tensor(values, device=self.device)
        return tuple(self.of_all(asked).amax(dim=0).tolist())

    @contextmanager
    def together(self) -> Iterator[None]:
        """Let a failure of one process within the block end it on all: none waits for the failed.

        The block itself must not wait for other processes.

        Raises:
            ToldElsewhere: on a process that did not fail while another one did.
        """
        failure: Exception | None = None
        try:
            yield
        except Exception as error:
            failure = error
        if self.largest(int(failure is not None)):
            raise failure or ToldElsewhere(
                "another process of this run failed",
                "all processes to succeed",
                "the error that the other process printed says what to do",
            )

    def wait(self) -> None:
        """Wait until all processes are here."""
        self._accelerator.wait_for_everyone()

    def scaler_state(self) -> dict[str, object]:
        """State of the fp16 gradient scaler; empty in other precisions."""
        scaler = self._accelerator.scaler
        return dict(scaler.state_dict()) if scaler is not None else {}

    def load_scaler_state(self, state: dict[str, object]) -> None:
        """Restore the fp16 gradient scaler."""
        if state and self._accelerator.scaler is not None:
            self._accelerator.scaler.load_state_dict(state)

    def seed(self, seed: int) -> None:
        """Seed torch's global stream of this process's device.

        `torch.manual_seed` seeds every device, at a cost that small networks notice.
        """
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def release(self) -> None:
        """Forget the run's module and optimiser, so that the next run of a grid starts clean."""
        self._accelerator.free_memory()


def _accelerator(precision: str) -> Accelerator:
    """The Accelerator of this program, whatever the environment holds for other programs."""
    for variable, engine in _OTHER_ENGINES.items():
        if os.environ.get(variable, "false").lower() == "true":
            raise LabError(
                f"{variable} is set: training by {engine}",
                "plain data parallelism, the only way whose numbers are known to be equal",
                f"unset {variable}, or choose no {engine} in the configuration of accelerate",
            )
    try:
        return Accelerator(
            cpu=not torch.cuda.is_available(),
            mixed_precision="no" if precision == "fp32" else precision,
            # Given explicitly: otherwise variables of the environment would change the numbers.
            gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
            dynamo_backend="no",
            # Buffers hold per-sample state of a method; the loop averages the running
            # statistics of batch norm itself.
            kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
        )
    except ValueError as failure:
        if "already been initialized" in str(failure):
            raise LabError(
                f"precision {precision} after another one in the same program",
                "one precision per program",
                "start the runs of each precision by themselves",
            ) from failure
        if "mixed precision" in str(failure):
            raise LabError(
                f"precision {precision} on this device: {failure}",
                "a precision that the device has",
                "--precision fp32",
            ) from failure
        raise LabError(
            f"Accelerate cannot start: {failure}",
            "an environment that accelerate launch made, or none",
            "unset RANK LOCAL_RANK WORLD_SIZE, or start with uv run accelerate launch",
        ) from failure


def set_determinism(level: str, tf32: bool = False, benchmark: bool | None = None) -> None:
    """Apply a determinism level, and what else decides how a GPU rounds.

    On CUDA, `warn` and `error` also need the cuBLAS workspace setting, which must be in the
    environment before the first CUDA call.

    Args:
        level: `off`, `warn` or `error`.
        tf32: whether GPUs may shorten the factors of float32 products.
        benchmark: whether cuDNN times its convolutions; None for: at `off` only.
    """
    # Also at `off`: torch reads it once, and a run of another level may follow in this program.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # Not `use_deterministic_algorithms`, which imports the compiler to tell it, too: over a second.
    torch.set_deterministic_debug_mode("default" if level == "off" else level)
    # Nothing here reads memory that it has not written: filling it first only takes time.
    # mypy sees a module here; it is an object with this attribute.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # torch sets it at run time
    torch.backends.cudnn.benchmark = level == "off" if benchmark is None else benchmark
    # Not `fp32_precision`, which says the same: once that was set, torch.compile of torch 2.9 to
    # 2.11 fails where it reads these (pytorch issue 166387). Nor allow_tf32 of products, which
    # leaves a part of what this sets as it was, and torch then refuses to read it.
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
