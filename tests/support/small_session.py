"""A session of any method on 60 images in memory, with all its views, and no laboratory around."""

import numpy as np
import torch

from pipeline.config import Execution
from pipeline.data.views import DeviceImages
from pipeline.encoders.embeddings import WithEmbeddings
from pipeline.runs.inputs.splits import Splits
from pipeline.runs.session import open_session
from pipeline.runs.settings.methods import load_method
from pipeline.training.batches import Labelled, TrainSamples
from pipeline.training.loop import Session
from pipeline.training.method import Problem
from pipeline.training.processes import Processes
from tests.support.every_method import settings_of
from tests.support.one_step import warm_start
from tests.support.tiny_encoder import tiny_encoder

N, SIDE, N_CLASSES = 60, 8, 10
MEAN, STD = (0.5,), (0.25,)
BATCH = 16


def small_session(name: str, own: dict[str, object]) -> Session:
    """A session of three epochs, the same each time."""
    pixels = np.random.default_rng(0).integers(0, 256, (N, SIDE, SIDE, 1), dtype=np.uint8)
    method = load_method(name)
    settings = method.Settings(**(settings_of(name, {"batch_size": BATCH} | own)))
    problem = Problem(
        N_CLASSES, N, (SIDE, SIDE, 1), MEAN, STD, encoder=tiny_encoder(),
        start=None if settings.start_from is None else warm_start(),
    )  # fmt: skip
    device, everyone = torch.device("cpu"), torch.arange(N)
    images = DeviceImages(pixels, MEAN, STD, device, crop_padding=1, flip=True)
    with torch.no_grad():
        table = tiny_encoder()(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255).numpy()
    source = WithEmbeddings(images, table, device)
    clean = everyone % N_CLASSES
    y = torch.where(everyone % 7 == 0, (clean + 1) % N_CLASSES, clean)
    splits = Splits(
        TrainSamples(source, everyone, y, clean), None, Labelled(source, everyone, None, clean), {}
    )
    execution = Execution(tracking=False, channels_last=False)
    return open_session(method, settings, execution, Processes(), problem, splits)
