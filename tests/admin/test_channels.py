"""Orders for channels through the management API, and how channels fare."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ccx.cli.main import main
from ccx.cli.remote import Remote
from ccx.runtime.orders import LONGEST, Orders, hand_over, kept_file
from ccx.state.health import Care, Health
from tests.faults import FaultUpstream
from tests.gateway import Running, running
from tests.runtime.test_selecting import BAD, GOOD, ask, channels, limited, pair, spec

HOUR = {"for": "1h", "reason": "maintenance"}


async def order(gw: Running, path: str, body: dict[str, Any] | None = None) -> Any:
    response = await gw.client.post(f"/admin/channels/{path}", json=body)
    return response.status_code, response.json()


async def test_drain_promote_resume(tmp_path: Path) -> None:
    async with pair([GOOD], tmp_path) as (gw, _):
        status, said = await order(gw, "first/drain", HOUR)
        assert status == 200
        assert said["override"]["order"] == "drain"
        assert said["override"]["reason"] == "maintenance"
        assert channels(await ask(gw)) == "second:200"
        assert (await order(gw, "first/drain", HOUR))[0] == 200  # once more is the same
        assert (await gw.client.get("/status")).json()["channels"]["first"]["override"]["order"] == "drain"
        assert await order(gw, "first/resume") == (200, {"channel": "first", "override": None})
        assert channels(await ask(gw)) == "first:200"
        await order(gw, "second/promote", {"for": "1h"})
        assert channels(await ask(gw)) == "second:200"
    log = (tmp_path / "log").read_text()
    assert [json.loads(line)["order"] for line in log.splitlines() if "channel_ordered" in line] == [
        "drain",
        "drain",
        "resume",
        "promote",
    ]


async def test_an_order_ends_by_itself(tmp_path: Path) -> None:
    async with pair([GOOD], tmp_path) as (gw, _):
        await order(gw, "first/drain", {"for": "100ms"})
        assert channels(await ask(gw)) == "second:200"
        await asyncio.sleep(0.12)
        assert channels(await ask(gw)) == "first:200"
        assert (await gw.client.get("/status")).json()["channels"]["first"]["override"] is None


@pytest.mark.parametrize(
    ("path", "body", "status", "word"),
    [
        ("nobody/drain", HOUR, 404, "first, second"),
        ("first/close", HOUR, 404, "promote"),
        ("first/drain", None, 400, "needs an end"),
        ("first/drain", {"for": "25h"}, 400, "24 hours"),
        ("first/drain", {"for": "0s"}, 400, "24 hours"),
        ("first/drain", {"for": "soon"}, 400, "soon"),
        ("first/drain", {"for": "1h", "until": 3}, 400, "until"),
        ("first/drain", {"for": "1h", "reason": "x" * 501}, 400, "500"),
        ("first/drain", {"for": "1h", "reason": "x" * 20_000}, 413, "bytes"),
    ],
)
async def test_what_is_no_order_orders_nothing(
    tmp_path: Path, path: str, body: dict[str, Any] | None, status: int, word: str
) -> None:
    async with pair([GOOD], tmp_path) as (gw, _):
        response = await gw.client.post(f"/admin/channels/{path}", content=json.dumps(body) if body else b"")
        assert response.status_code == status
        assert word in response.json()["error"]["message"]
        assert channels(await ask(gw)) == "first:200"


async def test_only_who_may_manage_orders(tmp_path: Path) -> None:
    async with FaultUpstream([GOOD]) as first:
        text = spec(first.url) + "\n    admin: {key: {env: ADMIN}}\n"
        async with running(text, tmp_path, environ={"ADMIN": "k" * 24}) as gw:
            assert (await order(gw, "first/drain", HOUR))[0] == 401
            assert (await gw.client.get("/admin/channels")).status_code == 401
            allowed = {"authorization": "Bearer " + "k" * 24}
            said = await gw.client.post("/admin/channels/first/drain", json=HOUR, headers=allowed)
            assert said.status_code == 200


async def test_how_targets_fare(tmp_path: Path) -> None:
    async with pair([BAD, BAD, limited("30")], tmp_path, breaker="breaker: {consecutive: 2, open: 1m}") as (gw, _):
        await ask(gw)
        await ask(gw)
        shown = (await gw.client.get("/admin/channels")).json()["channels"]
        first = next(one for one in shown["first"]["targets"] if one["protocol"] == "messages")
        assert first["breaker"] == "open"
        assert first["open_until"] > "2026"
        other = next(one for one in shown["first"]["targets"] if one["protocol"] == "chat")
        assert (other["breaker"], other["open_until"]) == ("closed", None)
        assert shown["second"]["targets"][0]["latency_ms"]["whole"] > 0
        assert shown["second"]["in_flight"] == 0


async def test_a_refused_key_is_shown_cooling(tmp_path: Path) -> None:
    async with pair([limited("30")], tmp_path) as (gw, _):
        await ask(gw)
        target = (await gw.client.get("/admin/channels")).json()["channels"]["first"]["targets"][0]
        assert target["cooling"]["cause"] == "rate_limit"


async def test_workers_share_orders_by_file(tmp_path: Path) -> None:
    file = tmp_path / "orders.json"
    one, other, clock = Health(), Health(), asyncio.get_running_loop().time
    for health in (one, other):
        health.configure({"a": Care(), "b": Care()})
    first, second = Orders(one, file=file), Orders(other, file=file)
    await asyncio.gather(first.give("a", "drain", seconds=60), second.give("b", "promote", seconds=60))
    for orders, health in ((first, one), (second, other)):
        await orders.read()
        assert {name: said.order for name, said in health.overrides(clock()).items()} == {"a": "drain", "b": "promote"}
    await first.give("a", None)
    await second.read()
    assert list(other.overrides(clock())) == ["b"]
    file.write_bytes(b"\xff nothing")
    await second.read()
    assert not other.overrides(clock())


async def test_a_restart_forgets_no_order_that_still_holds(tmp_path: Path) -> None:
    kept = kept_file(tmp_path / "state", tmp_path / "ccx.yaml")
    assert kept != kept_file(tmp_path / "state", tmp_path / "other.yaml")
    clock, before, now = asyncio.get_running_loop().time, Health(), 1_000_000.0

    def started(**care: Care) -> tuple[Health, Orders]:
        health = Health()
        health.configure(care)
        return health, Orders(health, kept=kept, now=lambda: now)

    before, orders = started(a=Care(), b=Care(), c=Care())
    await orders.give("a", "drain", seconds=600, reason="maintenance")
    await orders.give("b", "promote", seconds=60)
    await orders.give("c", "drain", seconds=600)
    await orders.give("c", None)
    assert set(before.overrides(clock())) == {"a", "b"}
    now += 100
    after, again = started(a=Care(), b=Care())
    restored = await again.restore()
    assert {name: (one.order, one.reason) for name, one in restored.items()} == {"a": ("drain", "maintenance")}
    assert restored["a"].until - clock() == pytest.approx(500, abs=1)
    assert not after.well("a")
    file = tmp_path / "orders.json"
    hand_over(kept, file, now=now)
    worker = Health()
    worker.configure({"a": Care(), "b": Care()})
    assert list(await Orders(worker, file=file, kept=kept, now=lambda: now).restore()) == ["a"]
    kept.write_bytes(b"\xff nothing")
    assert not await started(a=Care())[1].restore()
    assert await started(b=Care())[1].restore() == {}


async def test_an_order_holds_though_it_cannot_be_kept(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    health, said = Health(), list[str]()
    health.configure({"a": Care()})
    orders = Orders(health, kept=tmp_path / "file" / "orders.json", warn=said.append)
    await orders.give("a", "drain", seconds=60)
    assert not health.well("a")
    assert len(said) == 1
    assert "'a'" in said[0]


@pytest.mark.parametrize("seconds", [0.0, -1.0, LONGEST + 1])
async def test_an_order_without_an_end_is_none(seconds: float) -> None:
    health = Health()
    health.configure({"a": Care()})
    with pytest.raises(ValueError, match="24 hours"):
        await Orders(health).give("a", "drain", seconds=seconds)
    with pytest.raises(KeyError):
        await Orders(health).give("b", "drain", seconds=1.0)


async def test_the_command_and_the_note(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async with pair([GOOD], tmp_path) as (gw, _):

        async def ccx(*arguments: str) -> tuple[int, str, str]:
            code = await asyncio.to_thread(main, arguments)
            out, err = capfd.readouterr()
            return code, out, err

        code, out, _ = await ccx("channels", gw.url, "drain", "first", "--for", "30m", "--reason", "new key")
        assert code == 0
        assert "drain until" in out
        assert "(new key)" in out
        assert "second" not in out
        assert channels(await ask(gw)) == "second:200"
        code, out, err = await ccx("drift", gw.url, "--spec", str(gw.path))
        assert code == 0
        assert "note: an operator's order is in force, which is in no spec: first: drain until" in err
        assert (await ccx("channels", gw.url, "resume", "first"))[0] == 0
        assert (await asyncio.to_thread(lambda: Remote(gw.url, key=None).serving())).orders == ()
        code, _, err = await ccx("channels", gw.url, "drain", "third", "--for", "1h")
        assert (code, "there are first, second" in err) == (1, True)
        assert (await ccx("channels", gw.url, "drain", "first"))[0] == 64
        assert (await ccx("channels", gw.url, "close", "first"))[0] == 64


def promoted(text: str, second: FaultUpstream, *, start: float, until: float) -> str:
    """The spec with a promotion of its second channel that begins and ends so many seconds from now."""
    now = time.time()
    at = [datetime.fromtimestamp(now + s, UTC).isoformat(timespec="milliseconds") for s in (start, until)]
    said = f'base_url: {second.url}, promote: {{from: "{at[0]}", until: "{at[1]}"}},'
    assert text.count(f"base_url: {second.url},") == 1
    return text.replace(f"base_url: {second.url},", said)


async def test_a_declared_promotion_goes_first_and_shows_where_it_is_from(tmp_path: Path) -> None:
    async with FaultUpstream([GOOD]) as first, FaultUpstream([GOOD]) as second:
        plain = spec(first.url, second.url)
        async with running(promoted(plain, second, start=-60, until=60), tmp_path) as gw:
            assert channels(await ask(gw)) == "second:200"
            status = (await gw.client.get("/status")).json()["channels"]
            assert status["first"]["override"] is None
            told = status["second"]["override"]
            assert (told["order"], told["source"], told["reason"]) == ("promote", "spec", "")
            assert abs(datetime.fromisoformat(told["until"]).timestamp() - time.time() - 60) < 5
            assert (await order(gw, "second/drain", HOUR))[1]["override"]["source"] == "operator"
            assert channels(await ask(gw)) == "first:200"
            # Taking the order back leaves what the spec says.
            assert (await order(gw, "second/resume"))[1]["override"]["source"] == "spec"
            assert channels(await ask(gw)) == "second:200"
            gw.rewrite(plain)
            assert await gw.reconciler.reconcile("test") == "applied"
            assert channels(await ask(gw)) == "first:200"


async def test_a_promotion_ends_by_itself_and_nothing_comes_before_its_time(tmp_path: Path) -> None:
    async with FaultUpstream([GOOD]) as first, FaultUpstream([GOOD]) as second:
        plain = spec(first.url, second.url)
        async with running(promoted(plain, second, start=60, until=120), tmp_path) as gw:
            assert channels(await ask(gw)) == "first:200"
            assert (await gw.client.get("/status")).json()["channels"]["second"]["override"] is None
            gw.rewrite(promoted(plain, second, start=-1, until=0.5))
            assert await gw.reconciler.reconcile("test") == "applied"
            assert channels(await ask(gw)) == "second:200"
            await asyncio.sleep(0.5)
            assert channels(await ask(gw)) == "first:200"


async def test_the_command_tells_a_declared_promotion_and_drift_does_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with (
        FaultUpstream([GOOD]) as first,
        FaultUpstream([GOOD]) as second,
        running(promoted(spec(first.url, second.url), second, start=-60, until=60), tmp_path) as gw,
    ):
        assert await asyncio.to_thread(main, ["channels", gw.url]) == 0
        (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("second")]
        assert "promote until 20" in line
        assert line.endswith("by the spec")
        assert (await asyncio.to_thread(lambda: Remote(gw.url, key=None).serving())).orders == ()
