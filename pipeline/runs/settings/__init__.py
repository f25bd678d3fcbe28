"""From params.yaml, recipes and flags to the settings of one run."""
