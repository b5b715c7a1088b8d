"""The workshop over HTTP: our own interface, OpenAI's for pictures, and that of A1111's web UI."""
