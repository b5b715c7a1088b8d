"""What whoever starts the page allows: names, passwords, sizes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.doors.credentials import Credentials
from app.doors.hosts import Hosts, Name
from app.doors.listening import is_loopback
from blipdiff.errors import ConfigError

_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one request, and all of them together, may ask of this machine."""

    file: int = 100 * _MB  # bytes
    files: int = 16  # in one upload
    upload: int = 401 * _MB  # bytes of one request, whatever it says of its length: four photos
    form: int = 4 * _MB  # bytes of any other request
    space: int = 4_000 * _MB  # bytes on disk, of all uploads and shown pictures
    free: int = 500 * _MB  # bytes that are left to the disk
    uploads: int = 4  # at the same time; others wait
    canvases: int = 32  # painted pictures that were sent ahead of their request
    painted: int = 200 * _MB  # bytes of all of those
    requests: int = 192  # being answered at the same time, streams included
    connections: int = 320
    sessions: int = 128  # whose settings are kept
    messages: int = 256  # that a session leaves unread
    pending: int = 16  # requests of one session
    seconds: float = 20.0  # for a request's head, and for the next piece of its body


@dataclass(frozen=True, slots=True)
class Access:
    """By which names the page is reached, who may come in, and how much they may ask for."""

    hosts: Hosts = field(default_factory=Hosts)
    credentials: Credentials = field(default_factory=Credentials)
    is_insecure: bool = False  # other machines may come in without a password
    limits: Limits = field(default_factory=Limits)

    def check(self, host: str) -> None:
        """Passes when nobody comes in unasked from another machine.

        Raises: ConfigError when anybody could.
        """
        if not (self.credentials.are_asked_for or self.is_insecure or is_loopback(host)):
            raise ConfigError(
                f"At {host} other machines reach the page. Ask them for a password (--auth USER:PASSWORD) or for a "
                "token (--token TOKEN), or say --insecure to let everybody in."
            )


def access_of(
    host: str,
    *,
    auth: str | None = None,
    token: str | None = None,
    is_insecure: bool = False,
    names: Sequence[str] = (),
) -> Access:
    """The access that the options of `blipdiff ui` ask for; "@path" as auth or token is read from that file.

    Raises: ConfigError for values that are malformed or too weak, and for an address that everybody could reach.
    """
    own = () if is_loopback(host) else (Name(host.lower()),)
    access = Access(
        Hosts((*own, *(Name.parse(name) for name in names))),
        Credentials(_secret(auth, "--auth"), _secret(token, "--token")),
        is_insecure,
    )
    access.check(host)
    return access


def _secret(given: str | None, option: str) -> str | None:
    """The secret itself, or the first line of the file that it names."""
    if not (given or "").startswith("@"):
        return given or None
    path = Path(str(given)[1:]).expanduser()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise ConfigError(f"The file {path} of {option} cannot be read: {reason}.") from error
    if not lines or not lines[0].strip():
        raise ConfigError(f"The file {path} of {option} is empty; its first line is what {option} would be.")
    return lines[0].strip()
