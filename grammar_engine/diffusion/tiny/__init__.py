"""A masked diffusion model of under a million weights, trained on generated text, that comes along with the package."""
