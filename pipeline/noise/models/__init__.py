"""Noise models: laws by which labels are drawn, apart from data sets and files."""
