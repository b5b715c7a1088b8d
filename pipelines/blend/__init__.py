"""Blend: pictures between subjects."""
