"""A server may inherit listening sockets that somebody else opened, and keeps open while this server restarts.

Whoever connects meanwhile waits in the kernel, and the next process answers: nobody is refused (F69).
"""

import os
import socket
from collections.abc import Iterable, MutableMapping
from typing import Final

FIRST: Final = 3  # SD_LISTEN_FDS_START


class NotListening(Exception):
    """A descriptor that was handed over is no listening socket; the message is a sentence for whoever set it up."""


def from_systemd(environment: MutableMapping[str, str], process_id: int) -> list[int]:
    """Return the descriptors that systemd passed to this process, by the contract of sd_listen_fds(3); mostly there are
    none.

    The contract's variables are taken out of `environment`, so that no child takes them for its own. Raises
    NotListening when they are malformed.
    """
    meant_for, count, _ = (environment.pop(f"LISTEN_{name}", "") for name in ("PID", "FDS", "FDNAMES"))
    try:
        if not count or int(meant_for) != process_id:
            return []  # nothing was passed, or to a parent of this process that had the variables too
        return list(range(FIRST, FIRST + int(count)))
    except ValueError:
        raise NotListening("LISTEN_PID and LISTEN_FDS must be numbers; see sd_listen_fds(3).") from None


def adopt(descriptors: Iterable[int]) -> list[socket.socket]:
    """Return the sockets behind these descriptors. Raises NotListening, with a sentence, for one that is no TCP
    listener."""
    return [_adopt(descriptor) for descriptor in descriptors]


def _adopt(descriptor: int) -> socket.socket:
    try:
        os.set_inheritable(descriptor, False)
        adopted = socket.socket(fileno=descriptor)
    except OSError as error:
        raise NotListening(f"File descriptor {descriptor} is no socket: {error.strerror}.") from error
    is_tcp = adopted.family in (socket.AF_INET, socket.AF_INET6) and adopted.type == socket.SOCK_STREAM
    if not is_tcp or not adopted.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        adopted.close()
        raise NotListening(f"File descriptor {descriptor} is no TCP socket that listens.")
    return adopted
