"""One thin script per DVC stage; the logic lies in the packages they call."""
