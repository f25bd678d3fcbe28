"""Mixing with the share and the pairs that an official code drew."""

import torch


def recorded_mixing(drawn, pairs):
    """In place of a `Mixing`: the parts, all rows of which are mixed with one another.

    Args:
        drawn: from the Beta distribution; the larger of it and the rest is the share of the rows.
        pairs: int64 [n], which row each is mixed with; those beyond the rows are not used.
    """
    share = max(float(drawn), 1 - float(drawn))

    def mix(*parts):
        rows = torch.cat(parts)
        mixed = share * rows + (1 - share) * rows[pairs[: len(rows)]]
        return list(mixed.split([len(part) for part in parts]))

    return mix
