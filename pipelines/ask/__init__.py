"""Asking photos."""
