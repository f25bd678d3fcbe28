"""DVC stage `encoder`: make one encoder, or bring it in.

python -m pipeline.stages.encoder simclr-digits
"""

from dataclasses import dataclass
from typing import Annotated

import tyro

from pipeline.command_line import read_flags
from pipeline.config import Execution, RunSettings, read_params
from pipeline.encoders.artefact import load_encoder
from pipeline.encoders.encoder_spec import encoder_spec
from pipeline.errors import LabError, program
from pipeline.runs.planning import Planner
from pipeline.runs.pretraining import make_encoder
from pipeline.training.processes import Processes


@dataclass(frozen=True)
class Flags:
    """Make an encoder."""

    name: Annotated[str, tyro.conf.Positional]
    """Name of the entry in the encoders block of params.yaml, which names all it needs."""
    tracking: bool = True
    """Show its run in MLflow."""


@program
def main() -> None:
    """Make the encoder and print what it is."""
    flags = read_flags(Flags, __doc__)
    params = read_params()
    if not getattr(encoder_spec(flags.name, params.encoders), "is_closed", True):
        raise LabError(
            f"encoder {flags.name} means another one for each run that asks for it",
            "an entry with dataset, noise and seed",
            "a run that names it, which makes its own",
        )
    encoder = Planner(params).encoder(flags.name, RunSettings())
    precision = encoder.run.settings.precision if encoder.run else "fp32"
    execution = Execution(tracking=flags.tracking, group="encoders")
    make_encoder(encoder, execution, Processes(precision))
    card = load_encoder(encoder.folder).card
    print(f"{card.name}: {card.network}, {card.n_features} features, weights {card.weights_digest}")


if __name__ == "__main__":
    main()
