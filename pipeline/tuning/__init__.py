"""Settings by noisy validation: trials, each a stored run, and the recipe that the best becomes."""
