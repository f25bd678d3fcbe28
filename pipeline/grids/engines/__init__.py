"""Where cells are computed: one file per engine."""
