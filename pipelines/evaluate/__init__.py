"""Models are measured: what is asked for, and one protocol a file."""
