"""Time stands still until a test moves it."""


class ManualClock:
    """A machine's clock that only the test moves; it serves wherever a `duckycart.clock.Clock` is wanted.

    It begins in September 2026 on a machine that has been up for a thousand seconds.
    """

    def __init__(self, now: int = 1_790_000_000_000) -> None:
        """Begin at the time of day `now`, in milliseconds since 1970, UTC."""
        self._now = now
        self._monotonic = 1000.0
        self._uptime = 1_000_000
        self.boot_id: str | None = "first boot"

    def now(self) -> int:
        """Return the time of day, in milliseconds since 1970, UTC."""
        return self._now

    def monotonic(self) -> float:
        """Return seconds that no correction of the time of day changes."""
        return self._monotonic

    def uptime(self) -> int:
        """Return the milliseconds since the machine was started."""
        return self._uptime

    def move(self, seconds: float) -> None:
        """Let so much time really pass: all three readings go on."""
        self._now += round(seconds * 1000)
        self._uptime += round(seconds * 1000)
        self._monotonic += seconds

    def correct(self, seconds: float) -> None:
        """Set the time of day forward, or back if `seconds` is negative; no time passes."""
        self._now += round(seconds * 1000)

    def boot(self, boot_id: str = "second boot") -> None:
        """Start the machine anew, or take another one. Nobody knows how long that took."""
        self.boot_id = boot_id
        self._uptime = 5_000
        self._monotonic = 5.0
