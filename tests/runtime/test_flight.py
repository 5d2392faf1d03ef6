"""One call and many readers: replay from the start, a pace for each, bounds, and an end that always comes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccx.runtime.flight import NARROW, Flight, Reader, Room, TooSlowError

Work = Callable[[Flight], Awaitable[None]]


def start(status: int = 200) -> dict[str, object]:
    return {"type": "http.response.start", "status": status, "headers": [(b"content-type", b"x/y")]}


def piece(body: bytes, *, more: bool = True) -> dict[str, object]:
    return {"type": "http.response.body", "body": body, "more_body": more}


def flying(work: Work, *, bound: int = 1000, room: Room | None = None) -> tuple[Flight, list[str]]:
    flight, ended = Flight(room or Room(10**9), bound=bound), list[str]()
    flight.start(lambda: work(flight), ended=lambda: ended.append("ended"))
    return flight, ended


async def read(flight: Flight, reader: Reader) -> bytes:
    if not await flight.begun(reader):
        return b""
    found = b""
    while part := await flight.next(reader):
        found += part
    return found


async def test_all_read_all_of_it_whenever_they_come() -> None:
    gate = asyncio.Event()

    async def work(flight: Flight) -> None:
        await flight.send(start())
        await flight.send(piece(b"ab"))
        await gate.wait()
        await flight.send(piece(b"cd"))
        await flight.send(piece(b"", more=False))

    flight, ended = flying(work)
    first = flight.join()
    early = asyncio.create_task(read(flight, first))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    second = flight.join()
    late = asyncio.create_task(read(flight, second))
    gate.set()
    assert await early == await late == b"abcd"
    assert (flight.complete, flight.open, flight.body, flight.status) == (True, True, b"abcd", 200)
    await flight.settled()
    third = flight.join()
    assert await read(flight, third) == b"abcd", "also when it is over"
    assert ended == ["ended"]


async def test_a_reader_that_does_not_read_holds_up_nobody_within_the_bound() -> None:
    async def work(flight: Flight) -> None:
        await flight.send(start())
        for _ in range(10):
            await flight.send(piece(b"x" * 90))
        await flight.send(piece(b"", more=False))

    flight, _ = flying(work)
    leader, other = flight.join(), flight.join()
    assert await read(flight, other) == b"x" * 900
    assert await read(flight, leader) == b"x" * 900


async def test_beyond_the_bound_the_first_sets_the_pace_and_laggards_are_cut() -> None:
    sent = 0

    async def work(flight: Flight) -> None:
        nonlocal sent
        await flight.send(start())
        for _ in range(100):
            await flight.send(piece(b"x" * 100))
            sent += 100
        await flight.send(piece(b"", more=False))

    room = Room(10**9)
    flight, _ = flying(work, room=room)
    leader, keen, idle = flight.join(), flight.join(), flight.join()
    await asyncio.sleep(0.01)
    assert sent <= 1000, "it waits for the one that is there longest"
    assert not flight.open

    async def keep_up(reader: Reader) -> int:
        total = 0
        while part := await flight.next(reader):
            total += len(part)
        return total

    others = asyncio.create_task(keep_up(keen))
    assert await keep_up(leader) == 10_000
    assert await others == 10_000
    with pytest.raises(TooSlowError):
        await flight.next(idle)
    flight.leave(idle)
    assert flight.readers == 2
    assert room.used <= 1100
    for reader in (leader, keen):
        flight.leave(reader)
    await flight.settled()
    assert room.used == 0


async def test_when_the_pacer_leaves_the_next_one_paces() -> None:
    async def work(flight: Flight) -> None:
        await flight.send(start())
        for _ in range(100):
            await flight.send(piece(b"x" * 100))
        await flight.send(piece(b"", more=False))

    flight, _ = flying(work)
    leader, second = flight.join(), flight.join()
    total = len(await flight.next(second))
    await asyncio.sleep(0.01)
    assert total == 1100, "all that is there while the leader reads nothing"
    flight.leave(leader)
    while part := await flight.next(second):
        total += len(part)
    assert total == 10_000


async def test_where_there_is_no_room_answers_are_kept_narrowly() -> None:
    sent = 0

    async def work(flight: Flight) -> None:
        nonlocal sent
        await flight.send(start())
        for _ in range(16):
            await flight.send(piece(b"x" * (NARROW // 4)))
            sent += 1
        await flight.send(piece(b"", more=False))

    room = Room(NARROW // 2)
    flight, _ = flying(work, bound=100 * NARROW, room=room)
    reader = flight.join()
    await asyncio.sleep(0.01)
    assert sent == 4
    assert not flight.open
    assert room.used == 5 * (NARROW // 4)
    assert len(await read(flight, reader)) == 4 * NARROW
    flight.leave(reader)
    assert room.used == 0


async def test_the_last_to_leave_ends_the_call() -> None:
    cancelled = asyncio.Event()

    async def work(flight: Flight) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    flight, ended = flying(work)
    one, two = flight.join(), flight.join()
    await asyncio.sleep(0)
    flight.leave(one)
    await asyncio.sleep(0)
    assert not cancelled.is_set()
    flight.leave(two)
    assert not flight.open, "nobody may join what is being cancelled"
    await flight.settled()
    assert cancelled.is_set()
    assert ended == ["ended"]
    assert isinstance(flight.failure, asyncio.CancelledError)


async def test_a_call_cancelled_before_its_first_step_is_released_too() -> None:
    async def work(flight: Flight) -> None:
        raise AssertionError("it never begins")

    flight, ended = flying(work)
    flight.leave(flight.join())
    await flight.settled()
    await asyncio.sleep(0)
    assert ended == ["ended"]
    assert flight.over


async def test_a_failure_is_for_all_and_after_what_had_come() -> None:
    async def work(flight: Flight) -> None:
        await flight.send(start())
        await flight.send(piece(b"ab"))
        raise ValueError("no more")

    flight, _ = flying(work)
    one, two = flight.join(), flight.join()
    assert await read(flight, one) == await read(flight, two) == b"ab"
    assert isinstance(flight.failure, ValueError)
    assert not flight.complete


async def test_a_leader_that_is_cancelled_while_it_waits_still_waits_for_the_end() -> None:
    tidied = False

    async def work(flight: Flight) -> None:
        nonlocal tidied
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            tidied = True

    flight, _ = flying(work)
    flight.join()

    async def lead() -> None:
        await flight.settled(leader=True)

    leader = asyncio.create_task(lead())
    await asyncio.sleep(0.005)
    leader.cancel()
    with suppress(asyncio.CancelledError):
        await leader
    assert leader.cancelled()
    assert tidied


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("join"), st.just(0)),
        st.tuples(st.just("leave"), st.integers(0, 5)),
        st.tuples(st.just("read"), st.integers(0, 5)),
        st.tuples(st.just("send"), st.integers(0, 120)),
        st.tuples(st.sampled_from(["end", "fail", "cancel", "turn"]), st.just(0)),
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_whatever_happens_readers_get_the_beginning_and_nothing_is_left(steps: list[tuple[str, int]]) -> None:
    asyncio.run(_played(steps))


async def _played(steps: list[tuple[str, int]]) -> None:
    room, commands = Room(10**9), asyncio.Queue[tuple[str, bytes]]()
    sent = bytearray()

    async def work(flight: Flight) -> None:
        await flight.send(start())
        while True:
            command, body = await commands.get()
            if command == "fail":
                raise ValueError(command)
            if command == "end":
                await flight.send(piece(b"", more=False))
                return
            sent.extend(body)
            await flight.send(piece(body))

    flight, ended = flying(work, bound=200, room=room)
    readers: list[tuple[Reader, bytearray]] = [(flight.join(), bytearray())]
    number = 0
    for step, value in steps:
        match step:
            case "join" if flight.open:
                readers.append((flight.join(), bytearray()))
            case "leave" if readers:
                flight.leave(readers.pop(value % len(readers))[0])
            case "read" if readers:
                reader, got = readers[value % len(readers)]
                with suppress(TooSlowError, TimeoutError):
                    async with asyncio.timeout(0):
                        got.extend(await flight.next(reader))
                assert sent.startswith(got)
            case "send":
                number += 1
                commands.put_nowait(("send", bytes([number % 256]) * value))
            case "end" | "fail":
                commands.put_nowait((step, b""))
            case "cancel" if flight.task is not None:
                flight.task.cancel()
            case _:
                pass
        for _ in range(3):
            await asyncio.sleep(0)
        if flight.open and not flight.over:
            assert flight.body == bytes(sent)
    for reader, _ in readers:
        flight.leave(reader)
    await flight.settled()
    await asyncio.sleep(0)
    assert (ended, room.used, flight.readers) == (["ended"], 0, 0)
