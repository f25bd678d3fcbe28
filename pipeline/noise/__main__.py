"""Label tables: python -m pipeline.noise list | show | import | verify | estimate."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro

from pipeline.data.dataset import load_dataset
from pipeline.errors import LabError, program, suggest
from pipeline.files import labels_folder, replacing
from pipeline.noise import label_table as table
from pipeline.noise.card_text import describe
from pipeline.noise.label_table import load_table, open_table, save_table, table_remedy

Word = Annotated[str, tyro.conf.Positional]
File = Annotated[Path, tyro.conf.Positional]


def list_tables() -> None:
    """List the label tables that lie on disk."""
    for folder in _folders():
        card = open_table(folder).card
        realised = "unknown" if card.realised_rate is None else f"{card.realised_rate:.4f}"
        print(f"{card.dataset}  {card.name}  {card.convention}  realised {realised}  n {card.n}")


def show(name: Word, /, dataset: str | None = None, figure: Path | None = None) -> None:
    """Show the noise card of a label table.

    Args:
        name: name of the table.
        dataset: name of the data set; needed where several have a table of that name.
        figure: also draw the card into this file (.png, .svg or .pdf).
    """
    found = [f for f in _folders() if f.name == name and dataset in (None, f.parent.name)]
    if not found:
        made = {folder.name for folder in _folders()}
        raise LabError(
            f"no label table {name!r}" + (f" of {dataset!r}" if dataset else ""),
            *suggest(name, made, table_remedy(dataset or "DATASET", name)),
        )
    if len(found) > 1:
        owners = ", ".join(folder.parent.name for folder in found)
        raise LabError(
            f"several tables are called {name!r}", f"one of: {owners}", "add --dataset NAME"
        )
    card = open_table(found[0]).card
    print(describe(card))
    if figure is not None:
        from pipeline.noise.card_figure import draw_card

        draw_card(card, load_dataset(card.dataset).card.class_names, figure)
        print(f"figure: {figure}")


def import_file(
    file: File,
    dataset: Word,
    name: Word,
    /,
    *,
    column: str | None = None,
    convention: str | None = None,
    rate: float | None = None,
) -> None:
    """Import published labels as a label table, verified against the clean labels.

    Args:
        file: .npy, .csv, .parquet or .pt (no pickle in it is run).
        dataset: name of a prepared data set.
        name: name of the new table.
        column: column or key, where the file holds several.
        convention: what the publishers say it follows, e.g. symmetric or asymmetric/next_class.
        rate: nominal rate.
    """
    from pipeline.noise.make import make
    from pipeline.noise.noise_spec import parse

    given = {"column": column, "convention": convention, "rate": rate}
    values = {key: value for key, value in given.items() if value is not None}
    spec = parse({"kind": "file", "path": str(file.resolve()), **values}, f"import of {file.name}")
    made = make(load_dataset(dataset), name, spec)
    save_table(made, labels_folder(dataset, name))
    print(describe(made.card))
    print(f"written: {labels_folder(dataset, name)}")


def verify_folder(folder: File, /, posterior: tuple[Path, ...] = ()) -> None:
    """Check a folder of published label files and make anew what can be; exits 1 if any differs.

    Args:
        folder: the files; a manifest.csv among them is compared with as well.
        posterior: .npy files with softmax averages [N, K], to make `dependent` labels from.
    """
    from pipeline.noise.published.verify import verify

    findings = verify(folder, posterior)
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
        features: .npy file, float [N, D]; row i belongs to position i of the training images.
        rounds: random parts of the samples to average over.
        sample: samples per part; all, where there are fewer.
        steps: of the fit.
        seed: of the parts and of the start of the fit.
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
        with replacing(out) as temporary:
            temporary.write_text(facts.to_json() + "\n", encoding="utf-8")
        print(f"written: {out}")


def _folders() -> list[Path]:
    root = labels_folder("any", "any").parent.parent
    return sorted(card.parent for card in root.glob(f"*/[!.]*/{table.CARD}"))


@program
def main() -> None:
    """Run the subcommand that the command line names."""
    tyro.extras.subcommand_cli_from_dict(
        {
            "list": list_tables,
            "show": show,
            "import": import_file,
            "verify": verify_folder,
            "estimate": estimate_matrix,
        },
        prog="python -m pipeline.noise",
        description=__doc__,
    )


if __name__ == "__main__":
    main()
