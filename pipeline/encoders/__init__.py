"""Frozen feature extractors as versioned artefacts, and their cached embeddings."""
