"""Labels and runs from Python, by the way that the programs go.

Libraries that take seconds to load are imported where they are needed: who only reads results
waits for none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.noise.label_table import LabelTable
    from pipeline.runs.run import Outcome


def make_labels(dataset: str, noise: str) -> LabelTable:
    """Make a label table of a data set, or take the one that is there and current.

    The data set is prepared first where that is missing.

    Args:
        dataset: name of the data set.
        noise: name of the table: an entry of the noise block of params.yaml, an imported table,
            KIND:RATE such as symmetric:0.5, or `clean`, the labels as they are given.

    Returns:
        The table: index, y_clean (None where nobody knows them) and y_noisy, int64 [N]; card says
        how it was made and what was realised.

    Raises:
        LabError: for an unknown name, and where data or labels cannot be made.
    """
    from pipeline.config import read_params
    from pipeline.runs.inputs.shelf import Shelf
    from pipeline.runs.settings.specs import noise_name, noise_spec

    params = read_params()
    name = noise_name(noise, params)
    return Shelf(params).table(dataset, name, noise_spec(dataset, name, params))


def run(method: str, **settings: Any) -> Outcome:
    """Train one method in this process, unless the run is stored; what is missing is made first.

    Prints a line an epoch. Interrupted by Ctrl-C or by the stop button of a notebook, it saves its
    state, and the same call goes on from there.

    Args:
        method: name of its file in methods/ without ending, such as `robust_loss`.
        settings: as the flags of its script, with `_` for `-`: dataset, noise, seed, epochs, the
            settings of the method, and how the run is carried out (tracking, keep_weights, force,
            ...). What is left out is resolved as for the script: params.yaml, recipe, defaults.

    Returns:
        key of the run, ending (done, diverged, stored, busy), detail, status and speed.

    Raises:
        LabError: for an unknown method or setting, and when the run cannot start.
        Interrupted: when a stop was asked for.
    """
    from pipeline.config import Execution, read_params, validated
    from pipeline.runs.pretraining import carry_out
    from pipeline.runs.script import plan
    from pipeline.runs.settings.methods import load_method
    from pipeline.runs.settings.resolve import resolve_over_pinned
    from pipeline.runs.telling import Lines
    from pipeline.training.processes import Processes

    params, loaded = read_params(), load_method(method)
    how = {name: settings.pop(name) for name in Execution.model_fields.keys() & settings.keys()}
    execution = validated(Execution, how, "settings")
    resolved = resolve_over_pinned(loaded, params, settings)
    processes = Processes(resolved.settings.precision)
    planned = plan(loaded, resolved, execution, params, processes)
    return carry_out(planned, execution, processes, Lines(planned.key))
