"""Data sets: fetched and verified, then kept in one on-disk form with a content digest."""
