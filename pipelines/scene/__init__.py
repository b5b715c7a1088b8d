"""Scene: several subjects in one picture, each in its region and bound to its word."""
