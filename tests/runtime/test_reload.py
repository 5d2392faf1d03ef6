"""The live table follows the files, and nothing bad ever replaces anything good."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from ccx.runtime.lastgood import Kept, LastGood
from ccx.runtime.loading import Loader, restore
from tests.faults import FaultUpstream, Reply
from tests.gateway import Running, running
from tests.runtime.streams import MESSAGE

SPEC = """
version: ccx/v1
channels: {{demo: {{provider: demo}}}}
routes:
  - {{name: {name}, to: [demo]}}
"""
ASK = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}


async def route_of(gw: Running) -> str:
    return (await gw.client.post("/v1/messages", json=ASK)).headers["x-ccx-route"]


async def until(gw: Running, route: str, *, within: float = 5.0) -> None:
    async with asyncio.timeout(within):
        while await route_of(gw) != route:
            await asyncio.sleep(0.01)


async def test_a_change_is_applied(tmp_path: Path) -> None:
    async with running(SPEC.format(name="one"), tmp_path) as gw:
        assert await route_of(gw) == "one"
        old = gw.gateway.live.digest
        gw.rewrite(SPEC.format(name="two"))
        assert await gw.reconciler.reconcile("test") == "applied"
        assert await route_of(gw) == "two"
        assert gw.gateway.live.digest != old
        assert gw.gateway.live.number == 2
        assert [c.digest for c in gw.persisted] == [old, gw.gateway.live.digest]


async def test_comments_change_nothing(tmp_path: Path) -> None:
    async with running(SPEC.format(name="one"), tmp_path) as gw:
        live = gw.gateway.live
        gw.rewrite("# a comment\n" + SPEC.format(name="one"))
        assert await gw.reconciler.reconcile("test") == "unchanged"
        assert gw.gateway.live is live


@pytest.mark.parametrize(
    "bad",
    ["version: ccx/v1\nchannels: [", "version: ccx/v9\n", SPEC.format(name="x").replace("[demo]", "[nope]"), ""],
    ids=["syntax", "version", "reference", "empty"],
)
async def test_a_bad_file_is_rejected_once_and_the_old_table_serves(tmp_path: Path, bad: str) -> None:
    async with running(SPEC.format(name="one"), tmp_path) as gw:
        gw.rewrite(bad)
        assert await gw.reconciler.reconcile("test") == "rejected"
        assert await route_of(gw) == "one"
        status = (await gw.client.get("/status")).json()["config"]
        assert status["last_reload"]["result"] == "rejected"
        assert status["last_reload"]["problems"]
        assert await gw.reconciler.reconcile("timer") == "unchanged"
        assert gw.reconciler.status.result == "rejected"
        answer = await gw.client.post("/admin/reload")
        assert answer.status_code == 409
        gw.rewrite(SPEC.format(name="one"))
        assert await gw.reconciler.reconcile("test") == "unchanged"
        assert gw.reconciler.status.problems == ()
        assert len(gw.persisted) == 1


async def test_a_missing_secret_is_rejected(tmp_path: Path) -> None:
    async with running(SPEC.format(name="one"), tmp_path) as gw:
        gw.rewrite(
            """
            version: ccx/v1
            channels: {a: {provider: anthropic, keys: {env: NOT_SET_ANYWHERE}}}
            """,
        )
        assert await gw.reconciler.reconcile("test") == "rejected"
        assert "NOT_SET_ANYWHERE" in gw.reconciler.status.problems[0]
        assert await route_of(gw) == "one"


async def test_a_file_that_vanishes(tmp_path: Path) -> None:
    async with running(SPEC.format(name="one"), tmp_path) as gw:
        gw.path.unlink()
        assert await gw.reconciler.reconcile("test") == "rejected"
        assert await route_of(gw) == "one"
        gw.rewrite(SPEC.format(name="two"))
        assert await gw.reconciler.reconcile("test") == "applied"


async def test_a_half_written_file_is_looked_at_again(tmp_path: Path) -> None:
    async with running(SPEC.format(name="one"), tmp_path) as gw:
        gw.path.write_text("version: ccx/v1\nchannels: {demo: {provi")
        writing = asyncio.create_task(gw.reconciler.reconcile("test"))
        await asyncio.sleep(0.05)
        gw.rewrite(SPEC.format(name="two"))
        assert await writing == "applied"
        assert [result for result, _ in gw.notes] == ["applied"]


async def test_rotating_a_secret_file(tmp_path: Path) -> None:
    async with FaultUpstream([Reply(200, headers={"content-type": "application/json"}, body=MESSAGE)]) as up:
        secret = tmp_path / "key"
        secret.write_text("first-key\n")
        spec = f"""
        version: ccx/v1
        channels: {{up: {{protocol: messages, base_url: "{up.url}", keys: {{file: key}}}}}}
        """
        async with running(spec, tmp_path) as gw:
            await gw.client.post("/v1/messages", json=ASK)
            digest, engine = gw.gateway.live.digest, gw.gateway.live.upstreams["up"].engine
            secret.write_text("second-key\n")
            assert await gw.reconciler.reconcile("test") == "applied"
            await gw.client.post("/v1/messages", json=ASK)
            assert [r.header("x-api-key") for r in up.requests] == ["first-key", "second-key"]
            assert gw.gateway.live.digest == digest
            assert gw.gateway.live.upstreams["up"].engine is engine
            assert up.requests[0].connection == up.requests[1].connection
            secret.unlink()
            assert await gw.reconciler.reconcile("test") == "rejected"
            assert (await gw.client.post("/v1/messages", json=ASK)).status_code == 200


async def test_watching_renames(tmp_path: Path) -> None:
    async with running(SPEC.format(name="r0"), tmp_path, watch=True) as gw:
        for number in range(1, 4):
            gw.rewrite(SPEC.format(name=f"r{number}"))
            await until(gw, f"r{number}")


async def test_what_the_gateway_writes_itself_is_no_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(SPEC.format(name="one"), tmp_path, watch=True) as gw:
        hints: list[str] = []
        wake, log = gw.reconciler.wake, tmp_path / "log"

        def spy(reason: str) -> None:
            hints.append(reason)
            wake(reason)

        monkeypatch.setattr(gw.reconciler, "wake", spy)

        async def heard() -> None:
            async with asyncio.timeout(5):
                while not hints:
                    (tmp_path / "other").write_bytes(os.urandom(4))
                    await asyncio.sleep(0.02)

        await heard()
        await asyncio.sleep(0.15)
        hints.clear()
        for _ in range(20):
            with log.open("a") as file:
                file.write("a line\n")
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.15)
        assert not hints
        await heard()
        gw.rewrite(SPEC.format(name="two"))
        await until(gw, "two")


async def test_watching_a_configmap(tmp_path: Path) -> None:
    """Kubernetes swaps a link to a folder; the spec's own path never changes."""

    def generation(number: int) -> None:
        folder = tmp_path / f"..gen{number}"
        folder.mkdir()
        (folder / "ccx.yaml").write_text(SPEC.format(name=f"g{number}"))
        link = tmp_path / "..data_tmp"
        link.symlink_to(folder.name)
        os.replace(link, tmp_path / "..data")
        if number:
            shutil.rmtree(tmp_path / f"..gen{number - 1}")

    generation(0)
    other = tmp_path / "spec"
    other.mkdir()
    async with running(SPEC.format(name="seed"), tmp_path, watch=True) as gw:
        gw.path.unlink()
        gw.path.symlink_to("..data/ccx.yaml")
        await until(gw, "g0")
        for number in (1, 2):
            generation(number)
            await until(gw, f"g{number}")


async def test_includes_are_watched(tmp_path: Path) -> None:
    part = tmp_path / "parts"
    part.mkdir()
    (part / "a.yaml").write_text("routes:\n  - {name: one, to: [demo]}\n")
    spec = "version: ccx/v1\ninclude: [parts/*.yaml]\nchannels: {demo: {provider: demo}}\n"
    async with running(spec, tmp_path, watch=True) as gw:
        assert await route_of(gw) == "one"
        await asyncio.sleep(0.1)
        (part / "a.yaml").write_text("routes:\n  - {name: two, to: [demo]}\n")
        await until(gw, "two")


async def test_swaps_under_load(tmp_path: Path) -> None:
    """Every request sees one table from first to last, and none fails."""
    async with running(SPEC.format(name="a"), tmp_path) as gw:
        stop = asyncio.Event()
        seen: set[tuple[str, str]] = set()
        count = 0

        async def load() -> None:
            nonlocal count
            while not stop.is_set():
                answer = await gw.client.post("/v1/messages", json={**ASK, "stream": count % 2 == 0})
                assert answer.status_code == 200
                assert b"message" in answer.content
                seen.add((answer.headers["x-ccx-digest"], answer.headers["x-ccx-route"]))
                count += 1

        workers = [asyncio.create_task(load()) for _ in range(4)]
        digests = {gw.gateway.live.digest[:12]: "a"}
        for number in range(20):
            name = "b" if number % 2 == 0 else "a"
            gw.rewrite(SPEC.format(name=name))
            assert await gw.reconciler.reconcile("test") == "applied"
            digests[gw.gateway.live.digest[:12]] = name
            await asyncio.sleep(0.01)
        stop.set()
        await asyncio.gather(*workers)
        assert count > 20
        assert len(digests) == 2
        assert seen == set(digests.items())


async def test_a_request_under_way_keeps_its_table(tmp_path: Path) -> None:
    spec = """
    version: ccx/v1
    channels: {{demo: {{provider: demo}}, {other}: {{provider: demo}}}}
    routes: [{{name: {other}, to: [{{channel: {other}, model: demo-slow}}]}}]
    """
    async with running(spec.format(other="one"), tmp_path) as gw:
        slow = asyncio.create_task(gw.client.post("/v1/messages", json={**ASK, "stream": True}))
        while gw.gateway.in_flight == 0:
            await asyncio.sleep(0.005)
        gw.rewrite(spec.format(other="two"))
        assert await gw.reconciler.reconcile("test") == "applied"
        answer = await slow
        assert answer.headers["x-ccx-route"] == "one"
        assert answer.content.rstrip().endswith(b"}")
        assert b"message_stop" in answer.content


def test_the_last_good_contents_are_kept_and_restored(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    spec = tmp_path / "ccx.yaml"
    spec.write_text("version: ccx/v1\ninclude: [sub/*.yaml]\nchannels: {demo: {provider: demo}}\n")
    (tmp_path / "sub" / "r.yaml").write_text("routes: [{name: kept, to: [demo]}]\n")
    candidate = Loader(spec, {}).look()
    kept = LastGood(tmp_path / "state", spec)
    assert kept.load() is None
    assert kept.save(Kept(candidate.digest, 1.0, dict(candidate.files), candidate.entry)) is None
    spec.write_text("broken: [")
    found = LastGood(tmp_path / "state", spec).load()
    assert found is not None
    again = restore(found, {})
    assert again.digest == candidate.digest
    assert set(again.folders) == {tmp_path, tmp_path / "sub"}
    kept.path.write_bytes(b"\x00garbage")
    assert kept.load() is None


def test_a_state_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    kept = LastGood(tmp_path / "file" / "state", tmp_path / "ccx.yaml")
    assert isinstance(kept.save(Kept("d", 1.0, {}, "ccx.yaml")), OSError)
