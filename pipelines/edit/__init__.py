"""Edit: another subject in a picture, and the rest of the picture kept."""
