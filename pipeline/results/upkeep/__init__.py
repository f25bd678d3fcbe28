"""Upkeep of a store: merging, mending, removing, while others read and write it."""
