"""Grid: one job again and again under the values of one or two of its parameters."""
