"""Jobs wait here for a thread, and are given up when their caller waits no longer."""

import threading
from collections import deque
from collections.abc import Sequence
from typing import Final

from duckycart.errors import Unavailable
from duckycart.refusals import OVERLOADED, STOPPING
from duckycart.store.transaction import Job

WAITING: Final = 20_000  # jobs; beyond it the answer is 503 at once instead of late


class Queue:
    """Jobs on their way to the threads that do them. Any thread may call anything here.

    A job that was given up is never begun; one that was given up while it ran never commits.
    """

    def __init__(self) -> None:
        self._hurry: deque[Job] = deque()
        self._later: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closing = False

    def __len__(self) -> int:
        return len(self._hurry) + len(self._later)

    def put(self, job: Job, *, hurry: bool = True) -> Unavailable | None:
        """Put a job behind the others, or with `hurry` before all that are not in a hurry. Returns the error for its
        caller when the queue is closed or too many wait; not raised, because what was raised holds all that the caller
        knew."""
        with self._changed:
            if self._closing:
                return STOPPING()
            if len(self) >= WAITING:
                return OVERLOADED()
            (self._hurry if hurry else self._later).append(job)
            self._changed.notify()
            return None

    def close(self) -> None:
        """Take no more. What waits is still handed out."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def next(self, *, wait: bool) -> Job | None:
        """Return the next job; None when there is none, with `wait` only after the end."""
        with self._changed:
            while True:
                for line in (self._hurry, self._later):
                    while line:
                        job = line.popleft()
                        if not job.given_up:
                            return job
                if not wait or self._closing:
                    return None
                self._changed.wait()

    def take_all(self) -> list[Job]:
        """Return every job that waits; none waits any more."""
        with self._changed:
            waiting = [job for job in (*self._hurry, *self._later) if not job.given_up]
            self._hurry.clear()
            self._later.clear()
        return waiting

    # What a caller that waits no longer, and the thread that works for it, have to agree upon

    def give_up(self, job: Job) -> bool:
        """Give up a job that nobody waits for any more. Returns whether nothing of it will ever be kept: it is not
        committing yet."""
        with self._changed:
            job.given_up = True
            for line in (self._hurry, self._later):
                while line and line[0].given_up:
                    line.popleft()
            return not job.committing

    def begin(self, job: Job) -> bool:
        """Return whether the job may still be done; asked before each try."""
        with self._changed:
            job.committing = False
            return not job.given_up

    def begin_commit(self, jobs: Sequence[Job]) -> bool:
        """Return whether these jobs may COMMIT; asked before it. Their outcome is unknown from then on until it
        returns."""
        with self._changed:
            if any(job.given_up for job in jobs):
                return False
            for job in jobs:
                job.committing = True
            return True
