"""The subject picker: how every tab is given its subjects."""
