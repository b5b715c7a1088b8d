"""A published benchmark as one run in one folder: its pictures drawn, scored and reported, each step taken up again."""
