"""What a node expects of whoever carries its messages to the others."""

from typing import Final, Protocol

from duckycart.bus.messages import Message


class Bus(Protocol):
    """Nobody waits for it and it fails nobody: what it cannot carry now is dropped, and a sweep finds it (F28)."""

    def tell(self, node: str, message: Message) -> None:
        """Say it to one node, named as in the carts' rows."""

    def tell_others(self, message: Message) -> None:
        """Say it to every node but this one."""

    async def close(self) -> None:
        """Say what was handed over, then leave."""


class Alone:
    """The bus of the only server of a database: there is nobody to tell."""

    def tell(self, node: str, message: Message) -> None:
        pass

    def tell_others(self, message: Message) -> None:
        pass

    async def close(self) -> None:
        pass


ALONE: Final = Alone()
