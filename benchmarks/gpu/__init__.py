"""What `benchmarks/on_gpu.py` measures on one GPU: a file per idea, a section per question."""
