"""What several methods share: one network, a warm-up, weights of samples, a late decay of adam."""
