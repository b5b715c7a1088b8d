"""Attention in the open: taps, what is read from it, and what prompt-to-prompt makes of it."""
