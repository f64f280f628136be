"""Ports of this machine for servers that are stopped and started again."""

import socket


def free_port(host: str = "127.0.0.1") -> int:
    """One that nobody else on this machine is given until this process ends.

    While a server is down its clients go on calling, and a server of another test must not be there to answer. So the
    port stays bound to a socket that does not listen: the system gives it to nobody, and whoever asks for it by its
    number may still listen on it.
    """
    with socket.socket() as keeper:
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeper.bind((host, 0))
        port: int = keeper.getsockname()[1]
        keeper.detach()
        return port
