"""What a picture shall show: subjects, prompts, and how strongly they are followed. Values, no weights."""
