"""Jobs in line, whoever asked for them: one queue, a worker for each device, and the history of what came of them."""
