"""Ranking label errors by what runs and neighbours say, and how often that is right."""
