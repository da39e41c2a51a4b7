"""Benchmarks of the diffusion model: its network beside the published one, and its samplers."""
