"""One thin script per DVC stage, and the search; the logic lies in the packages they call."""
