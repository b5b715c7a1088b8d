"""What commands do: each module is imported when a command of its own is called, and may need the whole model."""
