"""This module has the promises that a node expects of whoever carries its messages to the others."""

from typing import Final, Protocol

from duckycart.bus.messages import Message


class Bus(Protocol):
    """Carries messages to other nodes. Nobody waits for a bus and a bus fails nobody: what cannot be carried now is
    dropped, and a sweep finds it in the database (F28)."""

    def tell(self, node: str, message: Message) -> None:
        """Send the message to one node, named as in the carts' rows."""

    def tell_others(self, message: Message) -> None:
        """Send the message to every node but this one."""

    async def close(self) -> None:
        """Send what was handed over, then leave."""


class Alone:
    """The bus of the only server of a database: there is nobody to tell."""

    def tell(self, node: str, message: Message) -> None:
        pass

    def tell_others(self, message: Message) -> None:
        pass

    async def close(self) -> None:
        pass


ALONE: Final = Alone()
