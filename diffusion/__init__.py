"""The diffusion model: generates a mel from noise, or refines that of the Glow model."""
