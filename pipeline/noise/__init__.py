"""Noisy labels as versioned artefacts: generators, label tables with their cards, imports."""
