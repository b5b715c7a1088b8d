"""Controls: structures that pictures follow, for every task that follows any."""
