"""The face for people and machines: command line and page. Only this package knows gradio."""
