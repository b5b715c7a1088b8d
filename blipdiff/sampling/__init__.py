"""From noise to latents: schedulers, guidance, and the one loop."""
