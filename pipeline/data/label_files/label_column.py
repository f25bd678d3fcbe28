"""Which column of a label file holds the labels."""

from pipeline.data.label_files.roles import roles_of
from pipeline.data.label_files.table import FileTable
from pipeline.errors import LabError, quoted, suggest

_USUAL_COLUMNS = ("label_noisy", "noisy", "noisy_label", "labels_noisy", "noisy_labels")


def label_column(
    table: FileTable, column: str | None, setting: str = "column", flag: str = " (--column)"
) -> str:
    """The column of a label file that holds the labels.

    Args:
        table: the file.
        column: its name, if it was given.
        setting: that names it, for the error.
        flag: that does the same.

    Returns:
        That one; else one with a usual name, or the only one that does not name images.

    Raises:
        LabError: for an unknown column, none or several.
    """
    if column is not None:
        if column not in table.columns:
            raise LabError(
                f"{table.name} has no column {quoted(column)}",
                *suggest(column, table.columns, f"leave `{setting}` out"),
            )
        return column
    roles = roles_of(table, None)
    candidates = [name for name in table.columns if name not in roles.names()]
    usual = [name for name in _USUAL_COLUMNS if name in candidates]
    if len(candidates) == 1 or usual:
        return usual[0] if usual else candidates[0]
    if not candidates:
        raise LabError(
            f"{table.name} holds an index or paths, but no labels",
            "a column of labels beside them",
            f"name the column of labels in `{setting}`{flag}",
        )
    raise LabError(
        f"{table.name} holds several columns",
        f"one of: {', '.join(candidates[:12])}",
        f"name it in `{setting}`{flag}, as in {setting}: {candidates[-1]}",
    )
