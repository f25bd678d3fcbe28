"""Many runs: cells, the plan of what is missing, and engines that carry it out."""
