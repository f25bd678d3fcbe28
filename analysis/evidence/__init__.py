"""What can be told from results: paired tests, intervals, corrections, mean ranks."""
