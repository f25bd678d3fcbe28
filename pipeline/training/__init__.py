"""Training: the contract of a method, the one epoch loop, and what surrounds a run."""
