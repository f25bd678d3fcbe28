"""Runs by themselves: a list of them, all that is known of one, two side by side."""
