"""Coroutines that are run at once as far as they go."""

from __future__ import annotations

import asyncio

import pytest

from ccx.runtime.begun import Begun


async def test_one_that_need_not_wait_has_ended() -> None:
    async def ready() -> int:
        return 7

    begun = Begun(ready())
    assert begun.done
    assert begun.result == 7
    assert await begun == 7


async def test_an_error_comes_at_once() -> None:
    async def broken() -> None:
        raise ValueError("now")

    with pytest.raises(ValueError, match="now"):
        Begun(broken())


async def test_one_that_waits_is_awaited_where_it_stands() -> None:
    gate: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def waiting() -> list[str]:
        first = await gate
        await asyncio.sleep(0)
        return [first, "then"]

    begun = Begun(waiting())
    assert not begun.done
    asyncio.get_running_loop().call_soon(gate.set_result, "opened")
    assert await begun == ["opened", "then"]
    assert begun.done


async def test_a_time_limit_goes_through_it() -> None:
    seen: list[str] = []

    async def waiting() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await Begun(waiting())
    assert seen == ["cancelled"]


async def test_what_it_waits_for_may_fail() -> None:
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def waiting() -> str:
        try:
            await gate
        except OSError as error:
            return str(error)
        return "nothing"

    begun = Begun(waiting())
    gate.set_exception(OSError("gone"))
    assert await begun == "gone"
