"""Data sets whose images stay in files of their own: index tables, checks, published numbers."""
