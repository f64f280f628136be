"""What is kept survives a power cut at any moment, and what is damaged is said and not used."""

import asyncio
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duckycart.cart import journal as module
from duckycart.cart.calls import call
from duckycart.cart.journal import Damaged, Journal, Kept
from duckycart.cart.machine import CartState, Situation

SHOPPING = Situation(CartState.SHOPPING, 7)
KEPT = Kept(
    1, "http://shop", SHOPPING, 200, (call("add", 7, sessionID=7, barcode=1, weight=30), call("warn", 7, a="b"))
)


def unexpected(error: OSError) -> None:
    raise AssertionError(error)


def journal(path: Path, failed: Callable[[OSError], None] = unexpected) -> Journal:
    return Journal(path, failed)


async def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    one = journal(tmp_path / "cart.json")
    assert one.read() is None
    one.keep(KEPT)
    await one.kept()
    assert journal(tmp_path / "cart.json").read() == KEPT
    assert (tmp_path / "cart.json").stat().st_mode & 0o777 == 0o600  # keys are in it


async def test_of_many_changes_the_newest_is_kept_and_few_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[bytes] = []
    replaced = module.replace

    def noted(path: Path, content: bytes) -> None:
        written.append(content)
        replaced(path, content)

    monkeypatch.setattr(module, "replace", noted)
    one = journal(tmp_path / "cart.json")
    for tare in range(100):
        one.keep(replace(KEPT, tare=tare))
    await one.kept()
    one.keep(replace(KEPT, tare=99))  # nothing new
    await one.kept()
    read = journal(tmp_path / "cart.json").read()
    assert read is not None
    assert read.tare == 99
    assert len(written) <= 2


async def test_a_power_cut_while_it_is_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = journal(tmp_path / "cart.json")
    one.keep(KEPT)
    await one.kept()
    cuts: list[OSError] = []
    for name in ("write", "fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
            again = journal(tmp_path / "cart.json", cuts.append)
            again.keep(replace(KEPT, tare=5))
            await again.kept()
        assert journal(tmp_path / "cart.json").read() == KEPT
    assert [error.errno for error in cuts] == [28, 28]


async def test_the_file_is_on_disk_before_it_has_its_name_and_its_name_before_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cart.json"
    flushed: list[tuple[str, bool]] = []

    def noted(descriptor: int) -> None:
        flushed.append((Path(os.readlink(f"/proc/self/fd/{descriptor}")).name, path.exists()))

    monkeypatch.setattr(os, "fsync", noted)
    one = journal(path)
    one.keep(KEPT)
    await one.kept()
    assert flushed == [("cart.json.new", False), (tmp_path.name, True)]


@given(st.integers(0, 600))
def test_what_is_cut_off_is_damaged_or_whole(length: int) -> None:
    whole = module._encoded(KEPT)
    if length < len(whole.rstrip()):
        with pytest.raises(Damaged):
            module._decoded(whole[:length])
    else:
        assert module._decoded(whole[:length]) == KEPT


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"cart": "1"},
        {"cart": None},
        {"server": 5},
        {"state": "flying"},
        {"session": None},
        {"session": "7"},
        {"session": True},
        {"tare": 1.5},
        {"calls": 5},
        {"calls": [{}]},
        {"calls": [{"what": "read", "session": 7, "key": "k", "body": {}}]},
        {"calls": [{"what": "add", "session": "7", "key": "k", "body": {}}]},
    ],
)
def test_what_this_program_did_not_write_is_damaged(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "cart.json"
    path.write_text(json.dumps(json.loads(module._encoded(KEPT)) | change))
    with pytest.raises(Damaged):
        journal(path).read()


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\xfe", b"5", b"[" * 100_000, b" " * 300_000])
def test_any_bytes_are_damaged_or_read(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cart.json"
    path.write_bytes(content)
    with pytest.raises(Damaged):
        journal(path).read()


async def test_who_waits_for_the_disk_is_not_cancelled_with_another(tmp_path: Path) -> None:
    one = journal(tmp_path / "cart.json")
    one.keep(KEPT)
    waiting = asyncio.create_task(one.kept())
    await asyncio.sleep(0)
    waiting.cancel()
    await one.kept()
    assert journal(tmp_path / "cart.json").read() == KEPT
