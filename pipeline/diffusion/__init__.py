"""Label diffusion: noise schedules, forward and reverse process, denoiser and label retrieval.

Pure parts of LRA-Diffusion ("Label-Retrieval-Augmented Diffusion Models for Learning from Noisy
Labels", arXiv 2305.19518, and its official code, snapshot 231e587).
"""
