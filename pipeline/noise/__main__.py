"""Label tables: `uv run python -m pipeline.noise list`, show, import, export, clean and others."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro

from pipeline.command_line import run_subcommand
from pipeline.config import params_path, read_params
from pipeline.data.dataset import load_dataset
from pipeline.errors import LabError, program, quoted, suggest
from pipeline.files import absolute, labels_folder, replacing
from pipeline.names import checked_name
from pipeline.noise.card_text import describe_card, draw_card
from pipeline.noise.exported import export_table
from pipeline.noise.label_table import CARD, load_table, open_table, save_table, table_remedy
from pipeline.noise.noise_spec import NoiseSpec, Repair, parse
from pipeline.noise.rate_names import spec_of_name

Word = Annotated[str, tyro.conf.Positional]
GivenFile = Annotated[Path, tyro.conf.Positional]


def list_tables() -> None:
    """List the label tables that lie on disk."""
    for folder in _folders():
        try:
            card = open_table(folder).card
        except LabError as error:
            print(f"{folder.parent.name}  {folder.name}  not usable: {error}")
            continue
        realised = "unknown" if card.realised_rate is None else f"{card.realised_rate:.4f}"
        print(f"{card.dataset}  {card.name}  {card.convention}  realised {realised}  n {card.n}")


def show(name: Word, /, dataset: str | None = None, figure: Path | None = None) -> None:
    """Show the noise card of a label table.

    Args:
        name: name of the table.
        dataset: name of the data set; needed where several have a table of that name.
        figure: also draw the card into this file (.png, .svg or .pdf).
    """
    card = open_table(_folder(name, dataset)).card
    print(describe_card(card))
    if figure is not None:
        drawn = figure.expanduser()
        draw_card(card, load_dataset(card.dataset).card.class_names, drawn)
        print(f"figure: {drawn}")


def export_file(name: Word, file: GivenFile, /, dataset: str | None = None) -> None:
    """Write a label table into a file: index, file and class names, labels; `import` reads it.

    Args:
        name: name of the table.
        file: .csv or .parquet file to make or to replace.
        dataset: name of the data set; needed where several have a table of that name.
    """
    folder = _folder(name, dataset)
    n = export_table(folder.parent.name, name, file.expanduser())
    print(f"written: {file}, {n} labels")


def _folder(name: str, dataset: str | None) -> Path:
    """The folder of the one table of that name."""
    checked_name(name, "noise")
    if dataset is not None:
        checked_name(dataset, "data set")
    found = [f for f in _folders() if f.name == name and dataset in (None, f.parent.name)]
    if not found:
        made = {folder.name for folder in _folders()}
        raise LabError(
            f"no label table {quoted(name)}" + (f" of {quoted(dataset)}" if dataset else ""),
            *suggest(name, made, table_remedy(dataset or "DATASET", name)),
        )
    if len(found) > 1:
        owners = ", ".join(folder.parent.name for folder in found)
        raise LabError(
            f"several tables are called {quoted(name)}",
            f"one of the data sets {owners}",
            f"--dataset {found[0].parent.name}",
        )
    return found[0]


def import_file(
    file: GivenFile,
    dataset: Word,
    name: Word,
    /,
    *,
    column: str | None = None,
    order: Literal["checked", "trusted"] = "checked",
    convention: str | None = None,
    rate: float | None = None,
) -> None:
    """Import labels that others made as a label table, verified against the clean labels.

    Runs train on it under its name, as with an entry in params.yaml.

    Args:
        file: .npy, .npz, .csv, .tsv, .txt, .json, .parquet or .pt (no pickle in it is run).
        dataset: name of a prepared data set.
        name: name of the new table.
        column: column or key, where the file holds several.
        order: trusted accepts what only statistics object to: labels that agree with the clean ones
            in a part of the file, in another order of the classes, or no more than by chance.
        convention: what the publishers say it follows, e.g. symmetric or asymmetric/next_class.
        rate: nominal rate.
    """
    checked_name(name, "noise")
    given = {"column": column, "order": order, "convention": convention, "rate": rate}
    values = {key: value for key, value in given.items() if value is not None}
    spec = parse({"kind": "file", "path": _whole(file), **values}, f"import of {file.name}")
    _make(dataset, name, spec)


def clean(
    suspects: GivenFile,
    dataset: Word,
    name: Word,
    /,
    *,
    repair: Repair,
    rate: float | None = None,
) -> None:
    """Make a label table in which the most suspect labels of another one are mended.

    Runs train on it under its name, as with an entry of kind `cleaned` in params.yaml.

    Args:
        suspects: file that analysis/label_errors.py --suspects wrote.
        dataset: name of the prepared data set that it ranks.
        name: name of the new table.
        repair: relabel gives the flagged samples the suggested label; drop leaves them out.
        rate: share of all labels that is flagged; the estimated one unless given.
    """
    checked_name(name, "noise")
    values = {"kind": "cleaned", "suspects": _whole(suspects), "repair": repair, "rate": rate}
    _make(dataset, name, parse(values, f"suspects of {suspects.name}"))


def _make(dataset: str, name: str, spec: NoiseSpec) -> None:
    """Make a table without an entry in params.yaml, and say what it is."""
    # The generators load SciPy: only who makes labels waits for it.
    from pipeline.noise.generate import make

    _refuse_defined(name, spec)
    made = make(load_dataset(dataset), name, spec)
    save_table(made, labels_folder(dataset, name))
    print(describe_card(made.card))
    print(f"written: {labels_folder(dataset, name)}")
    print(f"train on it: --dataset {dataset} --noise {name}")


def _refuse_defined(name: str, spec: NoiseSpec) -> None:
    """Refuse a name that params.yaml gives to other labels: a run would make those anew."""
    defined = read_params().noise if params_path().exists() else {}
    if spec_of_name(name) is not None and name not in defined:
        raise LabError(
            f"labels named {quoted(name)}, which stands for noise of that kind and rate",
            "a name that says what they are",
            "mine",
        )
    if name != "clean" and name not in defined:
        return
    if name in defined and _resolved(parse(defined[name], f"params.yaml: noise.{name}")) == spec:
        return
    raise LabError(
        f"labels named {quoted(name)}, which params.yaml defines otherwise"
        if name in defined
        else "labels named 'clean', the name of the labels as they are given",
        "a name without an entry in the noise block of params.yaml",
        f"{name[:50]}-{'cleaned' if spec.kind == 'cleaned' else 'imported'}",
    )


def _resolved(spec: NoiseSpec) -> NoiseSpec:
    """The specification with the file that it is made from where that lies."""
    from pipeline.storage.fetched import local_file

    field = {"file": "path", "cleaned": "suspects"}.get(spec.kind)
    if field is None:
        return spec
    return spec.model_copy(update={field: _whole(local_file(getattr(spec, field)))})


def _whole(file: Path) -> str:
    return str(absolute(file.expanduser()))


def verify_folder(folder: GivenFile, /, posterior: tuple[Path, ...] = ()) -> None:
    """Check a folder of published label files and make anew what can be; exits 1 if any differs.

    Args:
        folder: the files; a manifest.csv among them is compared with as well.
        posterior: .npy files with softmax averages [N, K], to make `dependent` labels from.
    """
    from pipeline.noise.published.verify import verify

    findings = verify(folder.expanduser(), tuple(path.expanduser() for path in posterior))
    print("\n".join(map(str, findings)))
    verdicts = [finding.verdict for finding in findings]
    counted = (f"{verdicts.count(v)} {v}" for v in dict.fromkeys(verdicts))
    print(f"{len(findings)} checks: {', '.join(counted)}")
    if "differs" in verdicts:
        sys.exit(1)


def estimate_matrix(
    dataset: Word,
    name: Word,
    /,
    *,
    features: Path | None = None,
    rounds: int = 50,
    sample: int = 15_000,
    steps: int = 1500,
    seed: int = 0,
    returns: Literal["best", "last"] = "best",
    out: Path | None = None,
) -> None:
    """Estimate the transition matrix of a label table without its clean labels (HOC).

    Features of an encoder that was trained without labels, or on other images, do far better than
    the raw pixels that are taken without --features: neighbours must share their class.

    Args:
        dataset: name of a prepared data set.
        name: name of its label table.
        features: .npy, .npz or .pt file, float [N, D]; row i belongs to position i of the training
            images.
        rounds: random parts of the samples to average over, 1 to 10,000.
        sample: samples per part, at least 3; all, where there are fewer.
        steps: of the fit, 1 to 1,000,000.
        seed: of the parts and of the start of the fit, 0 to 2^32 - 1.
        returns: the iterate with the smallest objective, or the last one, as in the official code.
        out: also write matrix, prior and errors into this JSON file.
    """
    from pipeline.noise.estimation.hoc import estimate
    from pipeline.noise.estimation.report import features_of, report

    labels = load_table(dataset, name)
    found = estimate(
        features_of(labels, features),
        labels.y_noisy,
        labels.card.n_classes,
        rounds=rounds,
        sample=sample,
        steps=steps,
        seed=seed,
        returns=returns,
    )
    facts = report(found, labels)
    print("\n".join(facts.lines()))
    if out is not None:
        written = out.expanduser()
        with replacing(written) as temporary:
            temporary.write_text(facts.to_json() + "\n", encoding="utf-8")
        print(f"written: {written}")


def _folders() -> list[Path]:
    root = labels_folder("any", "any").parent.parent
    return sorted(card.parent for card in root.glob(f"*/[!.]*/{CARD}"))


@program
def main() -> None:
    """Run the subcommand that the command line names."""
    run_subcommand(
        {
            "list": list_tables,
            "show": show,
            "import": import_file,
            "export": export_file,
            "clean": clean,
            "verify": verify_folder,
            "estimate": estimate_matrix,
        },
        __doc__,
    )


if __name__ == "__main__":
    main()
