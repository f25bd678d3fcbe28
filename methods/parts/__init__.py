"""What several methods can have besides their own: weights of samples, a late decay of adam."""
