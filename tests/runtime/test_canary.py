"""A new table on a share of the sessions: which, how long, and every way in which it ends."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from fractions import Fraction
from pathlib import Path

import pytest

from ccx.cli.serve import _before
from ccx.routing.compile import compile_spec
from ccx.routing.table import RoutingTable
from ccx.runtime.canary import Lot, terms
from ccx.runtime.lastgood import Kept, LastGood
from ccx.runtime.loading import Loader
from ccx.runtime.verdicts import FRESH, Verdicts
from ccx.runtime.watch import BUILT_IN, tolerance_of
from ccx.spec.document import Spec
from ccx.telemetry.exchange import ACTIVE, CANARY, Exchange
from tests.faults import FaultUpstream, Reply
from tests.gateway import running
from tests.runtime.streams import MESSAGE
from tests.runtime.table_trials import Machine, run

TENTH = "canary: {share: 10%, for: 10m}"
HALF = "canary: {share: 50%, for: 10m}"
MINUTES = 60.0


def spec(name: str = "old", *, server: str = "", model: str = "*", more: str = "") -> str:
    return f"""\
version: ccx/v1
server: {{{server}}}
channels: {{demo: {{provider: demo}}}}
routes: [{{name: {name}, when: {{model: "{model}"}}, to: [demo]}}]
{more}
"""


BROKEN = spec("new", server=HALF, model="nobody-asks-for-this")
"""No route takes what is asked: each request fails by the table's fault."""


def on_a_machine(tmp_path: Path, body: Callable[[Machine], Awaitable[None]], *, text: str = "", **environ: str) -> None:
    async def main() -> None:
        machine = Machine(text or spec(), tmp_path, environ=environ)
        await body(machine)
        await machine.close()
        assert machine.gateway.in_flight == 0

    run(main())


async def tables(machine: Machine, sessions: int) -> dict[str, str]:
    """The route that serves each session."""
    return {f"s{n}": (await machine.ask(f"s{n}")).headers.get("x-ccx-route", "none") for n in range(sessions)}


# What is drawn


def test_a_lot_draws_its_share_and_never_changes_its_mind() -> None:
    lot = Lot.of("ab" * 32, Fraction(1, 10))
    keys = [hashlib.sha256(b"%d" % n).digest() for n in range(20_000)]
    drawn = {key for key in keys if lot.draws(key)}
    assert len(drawn) == pytest.approx(2000, abs=4 * (20_000 * 0.1 * 0.9) ** 0.5)
    assert drawn == {key for key in keys if Lot.of("ab" * 32, Fraction(1, 10)).draws(key)}
    assert drawn < {key for key in keys if Lot.of("ab" * 32, Fraction(1, 5)).draws(key)}


def test_another_table_is_tried_on_others() -> None:
    keys = [hashlib.sha256(b"%d" % n).digest() for n in range(20_000)]
    one, other = (Lot.of(digest * 32, Fraction(1, 10)) for digest in ("ab", "cd"))
    both = sum(one.draws(key) and other.draws(key) for key in keys)
    assert both == pytest.approx(200, abs=60)  # a tenth of a tenth


def table(server: str) -> RoutingTable:
    compiled = compile_spec(Spec.model_validate({
        "version": "ccx/v1",
        "server": json.loads(server),
        "channels": {"demo": {"provider": "demo"}},
    }))  # fmt: skip
    return compiled.table


def test_without_a_declared_rollback_its_defaults_hold() -> None:
    found = terms(table('{"canary": {}}').server)
    assert found is not None
    assert (found.share, found.lasting, found.tolerance) == (Fraction(1, 10), 600.0, BUILT_IN)
    assert tolerance_of(table('{"rollback": {}}').server) == BUILT_IN
    own = terms(table('{"canary": {}, "rollback": {"error_rate": "+1%", "first_byte": "+20%"}}').server)
    assert own is not None
    assert (own.tolerance.error_rate, own.tolerance.first_byte) == (0.01, 0.2)
    assert terms(table("{}").server) is None


# Its course


def test_a_share_is_served_by_it_and_the_rest_stays(tmp_path: Path) -> None:
    async def body(machine: Machine) -> None:
        old = machine.gateway.live.digest
        assert await machine.change(spec("new", server=TENTH)) == "canary"
        first = await tables(machine, 400)
        counted = Counter(first.values())
        assert set(counted) == {"old", "new"}
        assert 20 <= counted["new"] <= 64
        await asyncio.sleep(9 * MINUTES)
        assert await tables(machine, 400) == first  # each session stays where it was
        assert machine.gateway.live.digest == old
        assert machine.kept == [old]
        exchange = next(one for one in machine.exchanges if one.table == CANARY)
        assert exchange.digest == machine.gateway.newest.digest
        assert exchange.route == "new"
        assert {one.table for one in machine.exchanges} == {ACTIVE, CANARY}

    on_a_machine(tmp_path, body)


def test_the_receipt_and_the_log_say_which_table_served(tmp_path: Path) -> None:
    async def body(machine: Machine) -> None:
        await machine.ask("before")
        await machine.change(spec("new", server=HALF))
        digests = {"old": machine.gateway.live.digest, "new": machine.gateway.newest.digest}
        for n in range(20):
            answer = await machine.ask(f"s{n}")
            assert answer.digest == digests[answer.headers["x-ccx-route"]][:12]

    on_a_machine(tmp_path, body)
    lines = [line for line in map(json.loads, (tmp_path / "log").read_text().splitlines()) if "request_id" in line]
    assert lines[0]["table"] is None
    assert {(line["route"], line["table"]) for line in lines[1:]} == {("old", "active"), ("new", "canary")}
    assert len({line["digest"] for line in lines}) == 2


def test_replicas_draw_the_same_without_a_word(tmp_path: Path) -> None:
    async def main() -> None:
        found = []
        for name in ("a", "b"):
            machine = Machine(spec(), tmp_path / name)
            await machine.change(spec("new", server=HALF))
            found.append(await tables(machine, 100))
            await machine.close()
        assert found[0] == found[1]

    run(main())


def test_when_its_time_is_over_it_takes_all(tmp_path: Path) -> None:
    async def body(machine: Machine) -> None:
        old = machine.gateway.live.digest
        await machine.change(spec("new", server=TENTH))
        await asyncio.sleep(10 * MINUTES - 0.01)
        assert len(machine.gateway.lives) == 2
        await asyncio.sleep(0.02)
        assert machine.gateway.canary is None
        assert set((await tables(machine, 50)).values()) == {"new"}
        assert machine.results[-1] == ("applied", "canary")
        assert machine.kept == [old, machine.gateway.live.digest]
        assert machine.reconciler.rollout.ended == {"promoted": 1}
        assert machine.exchanges[-1].table is None

    on_a_machine(tmp_path, body)


def test_without_canary_a_table_takes_all_at_once(tmp_path: Path) -> None:
    """It is the new table that says how it is tried: a repair leaves it out."""

    async def body(machine: Machine) -> None:
        assert await machine.change(spec("new")) == "applied"
        assert machine.gateway.split is None
        assert set((await tables(machine, 20)).values()) == {"new"}

    on_a_machine(tmp_path, body, text=spec(server=TENTH))


def test_one_that_does_worse_is_withdrawn_at_once_and_stays_so_until_it_changes(tmp_path: Path) -> None:
    async def body(machine: Machine) -> None:
        assert await machine.change(BROKEN) == "canary"
        worse = machine.gateway.newest.digest
        failed = 0
        for n in range(200):
            failed += (await machine.ask(f"s{n}")).status == 404
        assert failed == 20  # as many as it takes to be sure, and not one more
        assert machine.gateway.canary is None
        assert machine.reconciler.rollout.ended == {"breached": 1}
        [problem] = machine.reconciler.status.problems
        expected = "was withdrawn: 100.0% of its 20 requests failed, 0.0% on the other (server.canary)"
        assert problem == f"table {worse[:12]} {expected}"
        assert (await machine.status())["last_reload"]["result"] == "rejected"
        assert await machine.change(BROKEN + "# touched\n") == "rejected"
        assert await machine.change(spec("better", server=HALF)) == "canary"
        await asyncio.sleep(11 * MINUTES)
        assert machine.gateway.live.table.routes[0].name == "better"

    on_a_machine(tmp_path, body)


def test_what_both_suffer_is_no_fault_of_the_new_one(tmp_path: Path) -> None:
    async def body(machine: Machine) -> None:
        await machine.change(BROKEN)
        for n in range(200):
            assert (await machine.ask(f"s{n}")).status == 404
        assert machine.gateway.canary is not None
        counts = machine.gateway.canary.counts()
        assert counts[ACTIVE][0] + counts[CANARY][0] == 200
        assert all(requests == errors for requests, errors in counts.values())

    on_a_machine(tmp_path, body, text=spec(model="nor-for-this"))


def test_a_bad_hour_at_the_end_of_a_long_canary_is_seen(tmp_path: Path) -> None:
    """Judged by the whole day alone, it would be lost in what went well before."""

    async def body(machine: Machine) -> None:
        await machine.change(spec("new", server="canary: {share: 50%, for: 1d}"))
        canary = machine.gateway.canary
        assert canary is not None

        def tell(role: str, digest: str, status: int) -> None:
            said = Exchange(at=0, request_id="", protocol="", operation="", digest=digest, status=status, table=role)
            machine.gateway.seen(said)

        for _ in range(2000):
            tell(ACTIVE, machine.gateway.live.digest, 200)
            tell(CANARY, canary.live.digest, 200)
        await asyncio.sleep(20 * 60 * MINUTES)
        for _ in range(25):
            tell(ACTIVE, machine.gateway.live.digest, 200)
            tell(CANARY, canary.live.digest, 500)
        assert machine.gateway.canary is None

    on_a_machine(tmp_path, body)


def test_a_slower_first_byte_ends_it_where_that_is_declared(tmp_path: Path) -> None:
    async def body(machine: Machine) -> None:
        await machine.change(spec("new", server=f"{HALF}, rollback: {{first_byte: +50%}}"))
        canary = machine.gateway.canary
        assert canary is not None
        for role, digest, first in ((ACTIVE, machine.gateway.live.digest, 0.1), (CANARY, canary.live.digest, 0.2)):
            for _ in range(20):
                said = Exchange(at=0, request_id="", protocol="", operation="", digest=digest, status=200, table=role)
                said.first_byte_seconds = first
                machine.gateway.seen(said)
        assert machine.gateway.canary is None
        assert "the first byte took 200 ms (median), 100 ms on the other" in machine.reconciler.status.problems[0]

    on_a_machine(tmp_path, body)


def test_the_newest_takes_the_place_of_the_one_that_is_tried(tmp_path: Path) -> None:
    async def body(machine: Machine) -> None:
        await machine.change(spec("second", server=HALF))
        await asyncio.sleep(6 * MINUTES)
        assert await machine.change(spec("third", server=HALF)) == "canary"
        assert set((await tables(machine, 40)).values()) == {"old", "third"}
        await asyncio.sleep(6 * MINUTES)  # the second's time is over: nobody minds
        assert machine.gateway.canary is not None
        await asyncio.sleep(5 * MINUTES)
        assert set((await tables(machine, 40)).values()) == {"third"}
        assert machine.reconciler.rollout.ended == {"replaced": 1, "promoted": 1}

    on_a_machine(tmp_path, body)


def test_a_request_of_a_canary_before_counts_for_none(tmp_path: Path) -> None:
    async def body(machine: Machine) -> None:
        await machine.change(spec("second", server=HALF))
        second = machine.gateway.newest.digest
        await machine.change(spec("third", server=HALF))
        late = Exchange(at=0, request_id="", protocol="", operation="", digest=second, status=500, table=CANARY)
        for _ in range(50):
            machine.gateway.seen(late)
        assert machine.gateway.canary is not None
        assert machine.gateway.canary.counts() == {ACTIVE: (0, 0), CANARY: (0, 0)}

    on_a_machine(tmp_path, body)


def test_one_without_canary_takes_the_place_of_both(tmp_path: Path) -> None:
    async def body(machine: Machine) -> None:
        await machine.change(spec("second", server=HALF))
        assert await machine.change(spec("repair")) == "applied"
        assert set((await tables(machine, 40)).values()) == {"repair"}
        await asyncio.sleep(20 * MINUTES)
        assert machine.gateway.live.table.routes[0].name == "repair"

    on_a_machine(tmp_path, body)


def test_files_that_say_the_present_again_end_it(tmp_path: Path) -> None:
    async def body(machine: Machine) -> None:
        await machine.change(spec("second", server=HALF))
        assert await machine.change(spec()) == "unchanged"
        assert machine.gateway.canary is None
        assert set((await tables(machine, 40)).values()) == {"old"}
        assert machine.reconciler.rollout.ended == {"reverted": 1}
        assert await machine.change(spec("second", server=HALF)) == "canary"  # it was not given up

    on_a_machine(tmp_path, body)


def test_a_broken_file_leaves_it_alone(tmp_path: Path) -> None:
    async def body(machine: Machine) -> None:
        await machine.change(spec("second", server=HALF))
        assert await machine.change("version: [") == "rejected"
        assert machine.gateway.canary is not None
        assert await machine.change(spec("second", server=HALF) + "# a word\n") == "unchanged"

    on_a_machine(tmp_path, body)


def test_a_change_that_only_a_restart_takes_over_is_not_tried(tmp_path: Path) -> None:
    async def body(machine: Machine) -> None:
        assert await machine.change(spec(server=f"{HALF}, listen: 127.0.0.1:4000")) == "canary"
        assert machine.reconciler.status.restart_needed == ("server.listen",)
        await machine.order("promote")
        assert await machine.change(spec(server=f"{HALF}, listen: 127.0.0.1:4001")) == "applied"
        assert machine.gateway.canary is None

    on_a_machine(tmp_path, body)


def test_secrets_are_renewed_in_both_tables(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("first-key")

    def keyed(name: str, server: str) -> str:
        text = spec(name, server=server)
        return text.replace(
            "{demo: {provider: demo}}", "{demo: {provider: demo}, up: {provider: openai, keys: {file: key}}}"
        )

    async def body(machine: Machine) -> None:
        assert await machine.change(keyed("new", HALF)) == "canary"
        before = machine.gateway.canary
        assert before is not None
        (tmp_path / "key").write_text("second-key")
        assert await machine.reconciler.reconcile("test") == "canary"
        assert machine.gateway.canary is before  # its time and its counts go on
        for live in machine.gateway.lives:
            assert [key.value for key in live.upstreams["up"].keys] == ["second-key"]
        (tmp_path / "key").unlink()
        assert await machine.reconciler.reconcile("test") == "rejected"
        assert machine.gateway.canary is before

    on_a_machine(tmp_path, body, text=keyed("old", ""))


def test_a_rollback_of_the_present_leaves_the_canary(tmp_path: Path) -> None:
    """It may be the repair."""

    async def body(machine: Machine) -> None:
        await machine.change(spec("worse", server="rollback: {window: 5m}", model="nobody-asks-for-this"))
        assert await machine.change(spec("repair", server=HALF)) == "canary"
        for n in range(100):
            await machine.ask(f"s{n}")
        await asyncio.sleep(1)
        assert machine.gateway.live.table.routes[0].name == "old"
        assert machine.gateway.canary is not None
        assert set((await tables(machine, 40)).values()) == {"old", "repair"}
        assert machine.gateway.canary.counts()[ACTIVE][1] == 0  # compared with another from now on

    on_a_machine(tmp_path, body)


# Sessions


def test_without_an_id_the_beginning_of_the_prompt_is_the_session(tmp_path: Path) -> None:
    async def body(machine: Machine) -> None:
        await machine.change(spec("new", server=HALF))
        found = set()
        for n in range(30):
            talk = [{"role": "user", "content": f"question {n}"}]
            ask = {"model": "m", "max_tokens": 5, "messages": talk}
            first = (await machine.ask(body=ask)).digest
            talk += [{"role": "assistant", "content": "yes"}, {"role": "user", "content": "and?"}]
            assert (await machine.ask(body=ask)).digest == first
            found.add(first)
        assert len(found) == 2

    on_a_machine(tmp_path, body)


def test_what_has_no_session_at_all_is_drawn_each_time(tmp_path: Path) -> None:
    form = (
        b'--x\r\ncontent-disposition: form-data; name="model"\r\n\r\nm\r\n--x\r\n'
        b'content-disposition: form-data; name="image"; filename="a.png"\r\ncontent-type: image/png\r\n\r\n0\r\n'
        b"--x--\r\n"
    )

    async def body(machine: Machine) -> None:
        from ccx.protocols.endpoints import Endpoint, resolve
        from ccx.protocols.multipart import open_form
        from ccx.runtime.admission import read_headers
        from ccx.runtime.splitting import Callers

        await machine.change(spec("new", server=HALF))
        split = machine.gateway.split
        assert split is not None
        endpoint = resolve("POST", "/v1/images/edits", prefixes=())
        assert isinstance(endpoint, Endpoint)
        opened = open_form(form, "multipart/form-data; boundary=x")
        found = Counter[str]()
        for n in range(200):
            exchange = Exchange(at=0, request_id=f"r{n}", protocol="images", operation="edit", digest="")
            split.choose(
                Callers(None, None, stranger=False), endpoint, read_headers([]), body=opened, exchange=exchange
            )
            found[exchange.table or ""] += 1
        assert 70 < found[CANARY] < 130

    on_a_machine(tmp_path, body)


def test_a_models_list_goes_by_the_session_too(tmp_path: Path) -> None:
    async def body(machine: Machine) -> None:
        await machine.change(spec("new", server=HALF))
        for n in range(20):
            listed = await machine.ask(f"s{n}", path="/v1/models", method="GET")
            assert listed.digest == (await machine.ask(f"s{n}")).digest

    on_a_machine(tmp_path, body)


# Who may call

KEYS = {name: f"sk-{name}-{'0' * 20}" for name in ("ann", "ben", "cat")}


def clients(names: str, **more: str) -> str:
    rows = [
        f"  {name}: {{key: {{sha256: {hashlib.sha256(KEYS[name].encode()).hexdigest()}}}{more.get(name, '')}}}"
        for name in names.split()
    ]
    return "clients:\n" + "\n".join(rows)


async def statuses(machine: Machine, name: str, *, model: str = "m") -> Counter[tuple[int, str]]:
    ask = {"model": model, "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
    answers = [await machine.ask(f"s{n}", key=KEYS[name], body=ask) for n in range(30)]
    return Counter((a.status, a.headers.get("x-ccx-route", "")) for a in answers)


@pytest.mark.parametrize(
    "after",
    [clients("ben"), clients("ann ben", ann=", enabled: false"), clients("ann ben", ann=", expires: 2001-01-01")],
    ids=["removed", "disabled", "expired"],
)
def test_a_key_that_is_taken_back_is_refused_at_once(tmp_path: Path, after: str) -> None:
    async def body(machine: Machine) -> None:
        assert await machine.change(spec("new", server=TENTH, more=after)) == "canary"
        assert await statuses(machine, "ann") == {(401, ""): 30}
        assert (await machine.ask("s", key=KEYS["ann"], path="/v1/models", method="GET")).status == 401
        assert (await machine.ask("s", key=KEYS["ann"], path="/v1/responses/resp_1", method="GET")).status == 401
        assert {status for status, _ in await statuses(machine, "ben")} == {200}

    on_a_machine(tmp_path, body, text=spec(more=clients("ann ben")))


def test_a_model_that_is_taken_back_is_refused_at_once(tmp_path: Path) -> None:
    async def body(machine: Machine) -> None:
        after = clients("ann", ann=', models: ["m"]')
        assert await machine.change(spec("new", server=HALF, more=after)) == "canary"
        assert {status for status, _ in await statuses(machine, "ann", model="big")} == {403}
        assert set(await statuses(machine, "ann")) == {(200, "old"), (200, "new")}

    on_a_machine(tmp_path, body, text=spec(more=clients("ann")))


def test_who_is_new_is_served_by_the_new_table(tmp_path: Path) -> None:
    async def body(machine: Machine) -> None:
        assert await statuses(machine, "cat") == {(401, ""): 30}
        await machine.change(spec("new", server=TENTH, more=clients("ann cat")))
        assert await statuses(machine, "cat") == {(200, "new"): 30}
        assert (await machine.order("abort")).status == 200
        assert await statuses(machine, "cat") == {(401, ""): 30}

    on_a_machine(tmp_path, body, text=spec(more=clients("ann")))


def test_a_client_with_a_new_key_is_the_same_client(tmp_path: Path) -> None:
    async def body(machine: Machine) -> None:
        rotated = clients("ann").replace(
            hashlib.sha256(KEYS["ann"].encode()).hexdigest(), hashlib.sha256(KEYS["cat"].encode()).hexdigest()
        )
        await machine.change(spec("new", server=HALF, more=rotated))
        assert set(await statuses(machine, "cat")) == {(200, "old"), (200, "new")}
        assert machine.exchanges[-1].client == "ann"
        assert await statuses(machine, "ann") == {(401, ""): 30}

    on_a_machine(tmp_path, body, text=spec(more=clients("ann")))


def test_where_clients_are_declared_first_nobody_calls_without_a_key(tmp_path: Path) -> None:
    async def body(machine: Machine) -> None:
        assert (await machine.ask("s")).status == 200
        await machine.change(spec("new", server=HALF, more=clients("ann")))
        assert {(await machine.ask(f"s{n}")).status for n in range(20)} == {401}
        assert set(await statuses(machine, "ann")) == {(200, "old"), (200, "new")}

    on_a_machine(tmp_path, body)


def test_an_admin_key_that_is_taken_back_opens_nothing(tmp_path: Path) -> None:
    def admin(name: str, variable: str, server: str = "") -> str:
        return spec(name, server=server, more=f"admin: {{key: {{env: {variable}}}}}")

    async def body(machine: Machine) -> None:
        old, new = ({"authorization": f"Bearer {key * 24}"} for key in "ab")
        assert (await machine.ask(path="/status", method="GET", headers=old)).status == 200
        assert await machine.change(admin("new", "NEW", HALF)) == "canary"
        assert (await machine.ask(path="/status", method="GET", headers=old)).status == 401
        assert (await machine.ask(path="/admin/canary/promote", body={"reason": "x"}, headers=old)).status == 401
        assert (await machine.ask(path="/admin/canary/promote", body={"reason": "x"}, headers=new)).status == 200

    on_a_machine(tmp_path, body, text=admin("old", "OLD"), OLD="a" * 24, NEW="b" * 24)


# Bounds and paths of the table that serves


def test_a_request_is_held_to_the_bounds_and_paths_of_its_own_table(tmp_path: Path) -> None:
    async def body(machine: Machine) -> None:
        text = spec("new", server=f"{HALF}, max_body: 2KiB").replace("provider: demo", "provider: demo, prefix: lab")
        await machine.change(text)
        large = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "x" * 3000}]}
        found = Counter[tuple[str | None, int, int]]()
        for n in range(15):
            big = (await machine.ask(f"s{n}", body=large)).status
            prefixed = (await machine.ask(f"s{n}", path="/lab/v1/messages")).status
            found[machine.exchanges[-1].table, big, prefixed] += 1
        assert set(found) == {(ACTIVE, 200, 404), (CANARY, 413, 200)}

    on_a_machine(tmp_path, body)


def test_of_web_pages_those_may_call_that_both_tables_name(tmp_path: Path) -> None:
    async def body(machine: Machine) -> None:
        await machine.change(spec("new", server=HALF + ", cors: ['https://b', 'https://c']"))

        async def allowed(origin: str) -> bool:
            asked = {"origin": origin, "access-control-request-method": "POST"}
            answer = await machine.ask(path="/v1/messages", method="OPTIONS", headers=asked)
            return "access-control-allow-origin" in answer.headers

        assert [await allowed(f"https://{name}") for name in "abc"] == [False, True, False]

    on_a_machine(tmp_path, body, text=spec(server="cors: ['https://a', 'https://b']"))


def test_what_either_table_names_keeps_its_state(tmp_path: Path) -> None:
    two = spec("new", server=HALF).replace("demo: {provider: demo}", "demo: {provider: demo}, more: {provider: demo}")

    async def body(machine: Machine) -> None:
        gateway = machine.gateway
        await machine.change(two)
        assert gateway.health.knows("more")
        engine = gateway.newest.upstreams["demo"].engine
        assert engine is gateway.live.upstreams["demo"].engine
        await machine.order("abort")
        assert not gateway.health.knows("more")

    on_a_machine(tmp_path, body)


# An operator's word


def test_promote_and_abort(tmp_path: Path) -> None:
    async def body(machine: Machine) -> None:
        assert (await machine.order("promote")).status == 409
        await machine.change(spec("new", server=TENTH))
        digest = machine.gateway.newest.digest
        shown = (await machine.status())["canary"]
        assert (shown["digest"], shown["share"], shown["left_seconds"]) == (digest, 0.1, 600.0)
        assert shown["since"] < shown["until"]
        assert shown["active"] == shown["canary"] == {"requests": 0, "errors": 0}
        wrong = await machine.order("promote", digest="0000")
        assert (wrong.status, digest[:12] in wrong.json()["error"]["message"]) == (409, True)
        done = await machine.order("promote", digest=digest[:8], reason="fine")
        assert (done.status, done.json()) == (200, {"digest": digest, "canary": None})
        assert set((await tables(machine, 20)).values()) == {"new"}
        assert machine.kept[-1] == digest

        await machine.change(spec("newer", server=TENTH))
        assert (await machine.order("abort", reason="not now")).status == 200
        assert set((await tables(machine, 20)).values()) == {"new"}
        assert "an operator's order: not now" in machine.reconciler.status.problems[0]
        assert await machine.change(spec("newer", server=TENTH) + "# touched\n") == "rejected"
        assert machine.reconciler.rollout.ended == {"promoted": 1, "aborted": 1}

    on_a_machine(tmp_path, body)


@pytest.mark.parametrize(
    ("word", "said", "status"),
    [
        ("close", {}, 404),
        ("promote", {"until": "x"}, 400),
        ("promote", {"reason": "x" * 501}, 400),
        ("promote", {"reason": "x" * 20_000}, 413),
    ],
)
def test_what_is_no_order_orders_nothing(tmp_path: Path, word: str, said: dict[str, str], status: int) -> None:
    async def body(machine: Machine) -> None:
        await machine.change(spec("new", server=TENTH))
        assert (await machine.order(word, **said)).status == status
        assert machine.gateway.canary is not None

    on_a_machine(tmp_path, body)


def test_a_reload_says_that_it_is_tried(tmp_path: Path) -> None:
    async def body(machine: Machine) -> None:
        machine.write(spec("new", server=TENTH))
        said = await machine.ask(path="/admin/reload")
        assert said.status == 200
        assert (said.json()["result"], said.json()["canary"]["share"]) == ("canary", 0.1)
        assert said.json()["digest"] == machine.gateway.live.digest

    on_a_machine(tmp_path, body)


# Workers on one port


def test_what_ends_it_in_one_worker_ends_it_in_all(tmp_path: Path) -> None:
    async def main() -> None:
        told: list[Machine] = []
        file = tmp_path / "canaries.json"

        def verdicts() -> Verdicts:
            return Verdicts(file, tell_others=lambda: told.append(those[0]))

        those = [Machine(spec(), tmp_path / name, verdicts=verdicts()) for name in ("a", "b")]
        one, other = those

        async def hangup() -> None:
            await asyncio.sleep(0.1)
            assert told
            told.clear()
            for machine in those:
                await machine.reconciler.rollout.obey()

        for machine in those:
            await machine.change(spec("second", server=HALF))
        await one.order("promote")
        await hangup()
        assert {m.gateway.live.table.routes[0].name for m in those} == {"second"}

        assert await one.change(BROKEN) == "canary"
        for n in range(60):
            await one.ask(f"s{n}")
        assert one.gateway.canary is None
        await asyncio.sleep(0.1)
        assert await other.change(BROKEN) == "rejected"  # it hears of it before it tries
        assert "100.0% of its 20 requests failed" in other.reconciler.status.problems[0]

        for machine in those:
            assert await machine.change(spec("third", server=HALF)) == "canary"
        await other.order("abort")
        await hangup()
        assert [m.gateway.canary for m in those] == [None, None]
        assert {m.gateway.live.table.routes[0].name for m in those} == {"second"}
        file.write_bytes(b"\xff nothing")
        await one.reconciler.rollout.obey()
        for machine in those:
            await machine.close()

    run(main())


def test_a_worker_that_comes_late_takes_what_was_promoted(tmp_path: Path) -> None:
    now = 1000.0

    async def main() -> None:
        nonlocal now
        file = tmp_path / "canaries.json"
        one, late = (
            Machine(spec(), tmp_path / name, verdicts=Verdicts(file, now=lambda: now)) for name in ("one", "late")
        )
        await one.change(spec("new", server=HALF))
        await one.order("promote")
        assert await late.change(spec("new", server=HALF)) == "applied"
        await late.change(spec())
        now += FRESH + 1
        assert await late.change(spec("new", server=HALF)) == "canary"  # another time it is tried again
        await one.close()
        await late.close()

    run(main())


def test_workers_that_cannot_be_told_are_not_left_behind(tmp_path: Path) -> None:
    async def main() -> None:
        machine = Machine(spec(), tmp_path, verdicts=Verdicts(tmp_path / "gone" / "canaries.json"))
        await machine.change(spec("new", server=HALF))
        assert (await machine.order("promote")).status == 503
        assert (await machine.order("abort")).status == 503
        assert len(machine.gateway.lives) == 2
        await machine.change(BROKEN)
        for n in range(60):
            await machine.ask(f"s{n}")
        await asyncio.sleep(0.1)
        assert machine.gateway.canary is None  # a breach waits for nobody
        await machine.close()

    run(main())


# A restart


def test_a_start_begins_where_the_last_table_took_all(tmp_path: Path) -> None:
    path, kept = tmp_path / "ccx.yaml", LastGood(tmp_path / "state", tmp_path / "ccx.yaml")

    def files(text: str) -> tuple[RoutingTable, str]:
        path.write_text(text)
        found = Loader(path, {}).look()
        assert found.table is not None
        return found.table, found.digest

    _, old = files(spec())
    assert _before(*files(spec("new", server=TENTH)), kept) is None  # it never ran: there is nothing to go back to
    kept.save(Kept(old, 0.0, {str(path): spec().encode()}, str(path)))
    found = _before(*files(spec("new", server=TENTH)), kept)
    assert found is not None
    assert (found.digest, found.problems) == (old, ())
    assert _before(*files(spec("new")), kept) is None
    assert _before(*files(spec()), kept) is None
    # What needs a new process gets it now, or never.
    assert _before(*files(spec("new", server=f"{TENTH}, listen: 127.0.0.1:4000")), kept) is None
    kept.save(Kept(old, 0.0, {str(path): b"version: ["}, str(path)))
    assert _before(*files(spec("new", server=TENTH)), kept) is None


# Metrics


def test_metrics_tell_the_tables_apart(tmp_path: Path) -> None:
    from ccx.admin.canary import measure_tables

    async def body(machine: Machine) -> None:
        metrics = machine.metrics
        metrics.registry.on_read(lambda: measure_tables(machine.gateway, machine.reconciler.rollout, metrics))
        await machine.ask("before")
        assert "ccx_table_requests_total{" not in metrics.render().decode()
        await machine.change(spec("new", server=HALF))
        served = Counter((await tables(machine, 40)).values())
        text = metrics.render().decode()
        digests = {"active": machine.gateway.live.digest, "canary": machine.gateway.newest.digest}
        for role, route in (("active", "old"), ("canary", "new")):
            assert f'ccx_table_requests_total{{role="{role}",status="200"}} {served[route]}\n' in text
            assert f'ccx_table_first_byte_seconds_count{{role="{role}"}} {served[route]}\n' in text
            assert f'ccx_table_info{{role="{role}",digest="{digests[role]}"}} 1\n' in text
        assert "ccx_table_canary_share 0.5\n" in text
        await machine.order("promote")
        text = metrics.render().decode()
        assert 'role="canary",digest' not in text
        assert "ccx_table_canary_share 0.5" not in text
        assert 'ccx_table_canaries_total{result="promoted"} 1\n' in text

    on_a_machine(tmp_path, body)


# Under load


async def test_canaries_come_and_go_under_load(tmp_path: Path) -> None:
    """Every request sees one table from first to last, and none fails, however its table ends."""
    async with FaultUpstream([Reply(200, headers={"content-type": "application/json"}, body=MESSAGE)]) as up:

        def text(name: str, server: str) -> str:
            """Each table has a channel of its own, whose connections go with it."""
            base = spec(name, server=server).replace("to: [demo]", f"to: [{name}]")
            channel = f"{{{name}: {{protocol: messages, base_url: '{up.url}', keys: none}}}}"
            return base.replace("{demo: {provider: demo}}", channel)

        async with running(text("r0", ""), tmp_path) as gw:
            stop, seen, count = asyncio.Event(), set[tuple[str, str]](), 0

            async def load(who: int) -> None:
                nonlocal count
                while not stop.is_set():
                    count += 1
                    answer = await gw.client.post(
                        "/v1/messages",
                        json={"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": f"{count}"}]},
                        headers={"x-ccx-session": f"{who}-{count}"},
                    )
                    assert answer.status_code == 200
                    seen.add((answer.headers["x-ccx-digest"], answer.headers["x-ccx-route"]))

            workers = [asyncio.create_task(load(who)) for who in range(4)]
            digests = {gw.gateway.live.digest[:12]: "r0"}
            for number in range(1, 13):
                gw.rewrite(text(f"r{number}", HALF))
                assert await gw.reconciler.reconcile("test") == "canary"
                digests[gw.gateway.newest.digest[:12]] = f"r{number}"
                await asyncio.sleep(0.03)
                word = "promote" if number % 3 else "abort"
                assert (await gw.client.post(f"/admin/canary/{word}")).status_code == 200
            stop.set()
            await asyncio.gather(*workers)
            assert seen <= set(digests.items())
            assert len(seen) > 6
            assert gw.gateway.live.table.routes[0].name == "r11"
