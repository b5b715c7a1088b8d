"""Finish: what is done to a picture that is there: enlarged, drawn anew in a region, without its background."""
