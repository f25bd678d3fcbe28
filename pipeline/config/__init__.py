"""params.yaml and flags -> frozen, checked settings; an unknown key is answered with the nearest.

Values are resolved in this order, later ones winning: the defaults of the settings class, the rows
of the recipe that match the cell, what params.yaml pins, the flags.
"""

from pipeline.config.checking import STRICT, validated, validated_kind
from pipeline.config.engines import (
    EngineSettings,
    LocalEngine,
    RayEngine,
    SlurmEngine,
    engine_settings,
)
from pipeline.config.key_facts import key_facts
from pipeline.config.params import Grid, Params, grid_of, params_path, read_params
from pipeline.config.run_settings import Compile, Execution, RunSettings, named
from pipeline.config.seeds import NOT_IN_KEY, Seed, Seeds, StreamName
from pipeline.config.tune import Range, Tune, searched
from pipeline.config.yaml_files import read_yaml

__all__ = [
    "NOT_IN_KEY",
    "STRICT",
    "Compile",
    "EngineSettings",
    "Execution",
    "Grid",
    "LocalEngine",
    "Params",
    "Range",
    "RayEngine",
    "RunSettings",
    "Seed",
    "Seeds",
    "SlurmEngine",
    "StreamName",
    "Tune",
    "engine_settings",
    "grid_of",
    "key_facts",
    "named",
    "params_path",
    "read_params",
    "read_yaml",
    "searched",
    "validated",
    "validated_kind",
]
