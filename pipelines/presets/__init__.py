"""Presets: values of a task's request under a name, as files without code that people share."""
