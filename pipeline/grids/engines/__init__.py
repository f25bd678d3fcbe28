"""Where cells are computed: one file per engine, each the one door to its library."""
