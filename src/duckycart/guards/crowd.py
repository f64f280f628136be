"""Members come in groups, and when there are too many the group that takes most gives up first: free of I/O."""

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

Member = TypeVar("Member")


class Crowd(Generic[Member]):
    """Members in groups, such as connections by their address; whoever has to go belongs to the largest group, and came
    first in it. So an address that takes many places takes them from itself."""

    def __init__(self) -> None:
        self._groups: dict[Hashable, dict[Member, None]] = {}  # in the order in which they came
        self._group_of: dict[Member, Hashable] = {}

    def __len__(self) -> int:
        return len(self._group_of)

    def __contains__(self, member: Member) -> bool:
        return member in self._group_of

    def size(self, group: Hashable) -> int:
        return len(self._groups.get(group, ()))

    def members(self, group: Hashable) -> Iterator[Member]:
        """Return the members of one group, the first to come first."""
        return iter(self._groups.get(group, {}))

    def add(self, member: Member, group: Hashable) -> None:
        self._groups.setdefault(group, {})[member] = None
        self._group_of[member] = group

    def discard(self, member: Member) -> Hashable:
        """Take the member out; returns its group, None if it is in none."""
        group = self._group_of.pop(member, None)
        if (members := self._groups.get(group)) is not None:
            members.pop(member, None)
            if not members:
                del self._groups[group]
        return group

    def in_turn(self) -> Iterator[Member]:
        """Return all members in the order in which they would have to go: the largest group first."""
        for group in sorted(self._groups, key=self.size, reverse=True):
            yield from self.members(group)

    def to_make_room_for(self, group: Hashable) -> Member | None:
        """Return who has to go so that one more of this group can stay; None if the newcomer has to."""
        mine = self.size(group) + 1
        largest = max(self._groups, key=self.size, default=None)
        if largest is None or self.size(largest) <= 1:
            return next(self.members(group), None)
        return next(self.members(group if mine > self.size(largest) else largest))
