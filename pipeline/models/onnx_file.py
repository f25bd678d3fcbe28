"""A model as an ONNX file: pixels in, class probabilities out, compared with what it was made from.

The graph holds the normalisation, the network or networks, the method's way of joining them, and a
frozen encoder if there is one. It computes in float32, whatever the run computed in.
"""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline.encoders.embeddings import VIEW, encoded
from pipeline.errors import LabError
from pipeline.files import replacing
from pipeline.models.kept import Model

INPUT, OUTPUT = "images", "probabilities"
_N_TRACED, _N_COMPARED = 2, 3
_CLOSE = 1e-4
"""Largest difference between probabilities of the two that rounding explains."""


class _Graph(nn.Module):
    """From pixels to probabilities, as the evaluation of the model's run goes.

    Args:
        model: on the CPU.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.method, self.encoder = model.method, model.encoder
        self.precision = model.card.settings.get("embedding_dtype", "float32")
        for name in ("mean", "std"):
            values = torch.tensor(getattr(model.card, name))[:, None, None]
            self.register_buffer(name, values)

    def forward(self, images: Tensor) -> Tensor:
        """Class probabilities float32 [B, K] of images float32 [B, C, H, W] in [0, 1]."""
        views = []
        for view in self.method.predict_views:
            if view == VIEW:
                assert self.encoder is not None
                views.append(encoded(self.encoder, images, self.precision).float())
            else:
                views.append((images - self.mean) / self.std)
        return self.method.predict(*views).float()


def export_onnx(model: Model, file: Path) -> float:
    """Write a model as an ONNX file, whose batch may have any size.

    Args:
        model: on the CPU.
        file: to write; it appears whole or not at all.

    Returns:
        The largest difference between a probability of the file, computed by ONNX Runtime, and of
        the model, on some random images.

    Raises:
        LabError: without the extra `onnx`, for a model whose prediction cannot be exported, and
            when the file would predict something else.
    """
    _check_can_be_exported(model)
    graph = _Graph(model).eval()
    height, width, n_channels = model.card.image_shape
    draw = torch.Generator().manual_seed(0)
    shape = (n_channels, height, width)
    traced, compared = (torch.rand(n, *shape, generator=draw) for n in (_N_TRACED, _N_COMPARED))
    with replacing(file) as new:
        _write(graph, traced, model, new)
        difference = _difference(graph, compared, new)
        if not difference <= _CLOSE:
            raise LabError(
                f"the ONNX file of model {model.card.run_key} differs by {difference:.2g} from it",
                f"a difference of at most {_CLOSE:g}",
                "pipeline.predict, which asks the model itself",
            )
    return difference


def _check_can_be_exported(model: Model) -> None:
    try:
        import onnxruntime
        import onnxscript
    except ImportError as failure:
        raise LabError(
            f"ONNX without the package {failure.name}",
            "the extra onnx of the laboratory",
            "uv run --extra onnx python -m pipeline.export",
        ) from None
    del onnxruntime, onnxscript
    what = f"model {model.card.run_key} of {model.card.method}"
    if model.method.memory():
        raise LabError(
            f"{what} predicts by a search among its {model.card.n_train} training samples, which "
            "no ONNX graph holds",
            "a model that predicts from images and weights alone",
            "pipeline.predict, or a method or setting without retrieval",
        )
    if any(module.training for module in model.method.modules()):
        raise LabError(
            f"{what} normalises by the batch, so that an image's prediction depends on others",
            "a model that predicts from each image alone",
            "pipeline.predict, or another setting",
        )


def _write(graph: _Graph, images: Tensor, model: Model, file: Path) -> None:
    """Trace the graph and save it as one file, with the names of the classes."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                graph, (images,), dynamo=True, verbose=False,
                input_names=[INPUT], output_names=[OUTPUT],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
            )  # fmt: skip
    # The exporter raises errors of many kinds for what it cannot write.
    except Exception as failure:
        lines = str(failure).splitlines() or [type(failure).__name__]
        raise LabError(
            f"model {model.card.run_key} of {model.card.method} cannot be exported: {lines[0]}",
            "a prediction that torch.onnx can write",
            "pipeline.predict, which asks the model itself",
            exit_code=1,
        ) from failure
    assert program is not None
    program.model.metadata_props.update(
        run=model.card.run_key,
        method=model.card.method,
        class_names=json.dumps(model.card.class_names),
    )
    program.save(file, include_initializers=True, external_data=False)


@torch.no_grad()
def _difference(graph: _Graph, images: Tensor, file: Path) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (found,) = session.run([OUTPUT], {INPUT: images.numpy()})
    return float((torch.from_numpy(found) - graph(images)).abs().max())
