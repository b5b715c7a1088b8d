"""Generate: a subject in the scene that a prompt describes, with or without where each word was seen."""
