"""The networks that are the method, and BLIP-Diffusion as one value."""
