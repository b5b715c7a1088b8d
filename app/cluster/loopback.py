"""Replicas of a cluster of this machine alone: they listen where nobody else reaches them."""


def listen_here() -> None:
    """Called in each process that Ray starts: Serve's replicas would listen at every address, and trust who comes."""
    from grpc.aio import _server

    listen = _server.Server.add_insecure_port

    def here(server: _server.Server, address: str) -> int:
        return int(listen(server, address.replace("[::]", "127.0.0.1")))

    _server.Server.add_insecure_port = here
