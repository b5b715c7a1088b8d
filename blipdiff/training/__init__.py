"""Objectives and their loop: the subject stage, the autoencoder, vocabularies, recipes."""
