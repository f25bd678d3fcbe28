"""Claims: a run is computed by one program at a time, though many share a store."""

from pipeline.results.claims.generations import LIFETIME
from pipeline.results.claims.holder import Holder
from pipeline.results.claims.listing import Claimed, claims
from pipeline.results.claims.taking import Claim, claim

__all__ = ["LIFETIME", "Claim", "Claimed", "Holder", "claim", "claims"]
