"""Personalize: photos of one subject -> its card, with what a few steps of fine-tuning have learned of it."""
