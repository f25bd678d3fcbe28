"""Published numbers, and where runs of this laboratory stand beside them."""
