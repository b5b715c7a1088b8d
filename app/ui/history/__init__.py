"""The tab of the history: boards, search, one picture with its job, what can be done with pictures."""
