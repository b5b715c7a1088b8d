"""A listening socket, so that a port in use is known before anything slow starts."""

import errno
import ipaddress
import socket
from typing import Any

from blipdiff.errors import ConfigError

FIRST_PORT, PORTS_TRIED = 7860, 100

_REASONS = {
    errno.EADDRINUSE: "is in use by another program",
    errno.EACCES: "needs administrator's rights",
    errno.EADDRNOTAVAIL: "is not to be had: this machine has no such address",
}


def listen(host: str, port: int | None = None) -> socket.socket:
    """A socket that listens at the port, or at the next free one from 7860 on.

    Raises: ConfigError for a port or an address that cannot be had.
    """
    if port is not None and not 1 <= port <= 65535:
        raise ConfigError(f"The port is {port}; it goes from 1 to 65535.")
    family, address = _addresses(host)[0]
    wanted = range(FIRST_PORT, FIRST_PORT + PORTS_TRIED) if port is None else [port]
    trouble = ""
    for number in wanted:
        made = socket.socket(family, socket.SOCK_STREAM)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((address[0], number, *address[2:]))
            made.listen()
            return made
        except OSError as error:
            made.close()
            trouble = _REASONS.get(error.errno or 0, f"is not to be had: {error.strerror or error}")
    if port is None:
        raise ConfigError(f"No port from {wanted[0]} to {wanted[-1]} can be had at {host}: the last {trouble}.")
    raise ConfigError(f"The port {port} at {host} {trouble}; choose another one, or none to take the next free one.")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address.

    Raises: ConfigError for a name that is no machine's.
    """
    return all(ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback for _, address in _addresses(host))


def _addresses(host: str) -> list[tuple[socket.AddressFamily, Any]]:
    try:
        found = socket.getaddrinfo(host or "\x00", None, type=socket.SOCK_STREAM)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"There is no machine by the name '{host}'; the page needs an address of this one."
        ) from error
    return [(family, address) for family, _, _, _, address in found]
