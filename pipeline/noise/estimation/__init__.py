"""Transition matrices estimated from noisy labels and features."""
