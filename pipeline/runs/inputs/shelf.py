"""The data sets and label tables of runs: made unless they are current, each opened once.

This is the one place that says whether something prepared is current: it is, if it was made from
what it would be made from now (specification, versions, digests, files).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.config import Params
from pipeline.data import facts
from pipeline.data.data_spec import DataSpec
from pipeline.data.dataset import Dataset, load_dataset, prepare_dataset
from pipeline.errors import LabError
from pipeline.files import labels_folder
from pipeline.noise.label_table import LabelTable, open_table, save_table
from pipeline.noise.made_from import noise_facts
from pipeline.noise.noise_spec import NoiseSpec, OpenSet
from pipeline.runs.settings.specs import data_spec


def is_current(made_from: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether something was made from what it would be made from now.

    Args:
        made_from: facts on its card.
        wanted: the same facts as they are now. A file that is gone, as on another machine, cannot
            have changed: its digest is None.

    Returns:
        Whether all that can be compared is equal.
    """
    return set(wanted) == set(made_from) and all(
        value == made_from[name] if name == "spec" else _unchanged(made_from[name], value)
        for name, value in wanted.items()
    )


def _unchanged(before: Any, now: Any) -> bool:
    if isinstance(now, Mapping) and isinstance(before, Mapping):
        return set(now) == set(before) and all(_unchanged(before[k], v) for k, v in now.items())
    return now is None or now == before


class Shelf:
    """The prepared data sets and label tables of one program.

    Args:
        params: names them.
        roots: data set -> folder that overrides where its files lie.
        makes: whether what is missing or not current is made; of several processes one does it.
    """

    def __init__(
        self, params: Params, roots: Mapping[str, str] | None = None, makes: bool = True
    ) -> None:
        self._params, self._roots, self._makes = params, dict(roots or {}), makes
        self._datasets: dict[str, Dataset] = {}
        self._tables: dict[Path, LabelTable] = {}

    def dataset(self, name: str) -> Dataset:
        """A prepared data set.

        Raises:
            LabError: when it cannot be made.
        """
        if name not in self._datasets:
            spec = data_spec(name, self._params, self._roots.get(name))
            found = self._current_dataset(name, spec) if self._makes else load_dataset(name)
            self._datasets[name] = found or _made_dataset(name, spec)
        return self._datasets[name]

    def make_dataset(self, name: str) -> Dataset:
        """Prepare a data set, whatever is there."""
        spec = data_spec(name, self._params, self._roots.get(name))
        self._datasets[name] = _made_dataset(name, spec)
        return self._datasets[name]

    def table(
        self, dataset: str, noise: str, spec: NoiseSpec, draw: int | None = None
    ) -> LabelTable:
        """A label table of a prepared data set.

        Args:
            dataset: name of the data set.
            noise: name of the table.
            spec: what it is made from.
            draw: seed of `spec` where it is not that of the table's entry.

        Returns:
            The table; opening it verifies its digest.

        Raises:
            LabError: when it cannot be made.
        """
        folder = labels_folder(dataset, noise, draw)
        if folder not in self._tables:
            found = self._current_table(dataset, folder, spec)
            self._tables[folder] = found or self.make_table(dataset, noise, spec, draw)
        return self._tables[folder]

    def make_table(
        self, dataset: str, noise: str, spec: NoiseSpec, draw: int | None = None
    ) -> LabelTable:
        """Make a label table, whatever is there."""
        # Imported here: a quarter of the start of a worker, which makes none.
        from pipeline.noise.generate import make

        folder = labels_folder(dataset, noise, draw)
        table = make(self._labelled_images(dataset, spec), folder.name, spec)
        save_table(table, folder)
        self._tables[folder] = table
        return table

    def _current_dataset(self, name: str, spec: DataSpec) -> Dataset | None:
        """The prepared data set, unless it is missing, damaged or not current."""
        try:
            found = load_dataset(name)
        except LabError:
            return None
        return found if facts.is_current(found.card, spec) else None

    def _current_table(self, dataset: str, folder: Path, spec: NoiseSpec) -> LabelTable | None:
        """The label table, unless it is missing, damaged or not current."""
        facts = noise_facts(spec, self._labelled_images(dataset, spec).card)
        try:
            found = open_table(folder)
        except LabError:
            return None
        made_from = found.card.details.get("made_from", {})
        return found if not self._makes or is_current(made_from, facts) else None

    def _labelled_images(self, dataset: str, spec: NoiseSpec) -> Dataset:
        """The data set of a label table; the one that open-set images come from is made ready."""
        if isinstance(spec, OpenSet):
            self.dataset(spec.source)
        return self.dataset(dataset)


def _made_dataset(name: str, spec: DataSpec) -> Dataset:
    prepare_dataset(name, spec)
    return load_dataset(name)
