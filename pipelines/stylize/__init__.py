"""Stylize: a subject's look in the structure of other pictures."""
