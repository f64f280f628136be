"""One step lies between a commit and those it concerns: the carts' links, the listeners, the log, and other nodes.

A transition puts effects into its transaction (`effects.py`). The store hands them over here when its COMMIT returned,
in the event loop, before whoever asked is answered. What other nodes committed comes over the bus.
"""

from collections.abc import Iterable
from typing import assert_never

import structlog

from duckycart.bus.messages import Message, TakenOver
from duckycart.channels.channels import Channels
from duckycart.effects import Alarm, Effect, Happened, News, Queued, Received, Superseded
from duckycart.hardware.connect import Connector
from duckycart.hardware.dispatch import Dispatch

log = structlog.get_logger()


class AfterCommit:
    """Hands each effect of a commit, and each message of another node, to whom it concerns.

    A hint that is lost on the way delays and never harms: the rows are committed, and the sweeps look at them.
    """

    _dispatch: Dispatch
    _connector: Connector
    _channels: Channels

    def reach(self, dispatch: Dispatch, connector: Connector, channels: Channels) -> None:
        """Begin to hand on to these, which are made with the store and the bus that hand over to this step."""
        self._dispatch = dispatch
        self._connector = connector
        self._channels = channels

    def committed(self, effects: Iterable[Effect]) -> None:
        """Hand on the effects of a transaction that this node committed, in their order, a command before its news."""
        for effect in effects:
            match effect:
                case Queued():
                    self._dispatch.queued(effect)
                case Received():
                    self._dispatch.received(effect)
                case News():
                    self._channels.tell(effect)
                case Superseded(cart_id, seq):
                    log.info("command superseded", cart=cart_id, seq=seq)
                case Happened(event, cart_id, session_id, fields):
                    log.info("transition", what=str(event), cart=cart_id, session=session_id, **fields)
                case Alarm(kind, detail, cart_id, session_id):
                    log.warning("alarm", kind=kind, detail=detail, cart=cart_id, session=session_id)
                case _:
                    assert_never(effect)

    def heard(self, message: Message) -> None:
        """Hand on what another node committed and what may concern a link or a listener of this one."""
        match message:
            case Queued():
                self._dispatch.offered(message)
            case Received():
                self._dispatch.wake(message)
            case TakenOver():
                self._connector.taken_over(message)
            case News():
                self._channels.heard(message)
            case _:
                assert_never(message)
