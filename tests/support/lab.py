"""The params.yaml of a laboratory whose runs take a second."""

import os
from pathlib import Path

import yaml

SMALL = {"epochs": 2, "batch_size": 64, "backbone": "small-cnn", "val_rate": 0.1}
PARAMS = {
    "datasets": {"digits": {"kind": "digits"}},
    "noise": {
        "symmetric-40": {"kind": "symmetric", "rate": 0.4, "seed": 1},
        "pair-40": {"kind": "pair", "rate": 0.4, "seed": 1},
    },
    "encoders": {},
    "run": {"dataset": "digits", "noise": "symmetric-40", "recipe": "pocket"},
    "methods": {"robust_loss": {"loss": "ce", **SMALL}},
    "grid": {
        "name": "tiny",
        "datasets": ["digits"],
        "noises": ["symmetric-40"],
        "seeds": [0],
        "encoders": [],
        "runs": [{"method": "robust_loss", "loss": ["ce", "dal"]}],
    },
}


def write_params(folder: Path, params: dict) -> None:
    """Write a params.yaml; its time of change moves on even within one clock tick."""
    path = folder / "params.yaml"
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text(yaml.safe_dump(params))
    os.utime(path, ns=(before + 10**9, before + 10**9))
