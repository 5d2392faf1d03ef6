"""Limits and budgets of groups, and limits of models, in the path of a request: all of them admit it or none is
charged."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from pathlib import Path

from ccx.routing.compile import compile_spec
from ccx.routing.groups import members
from ccx.spec.document import Spec
from ccx.state.meters import Meter, Sum
from tests.faults import Drip, FaultUpstream
from tests.gateway import Running, running
from tests.runtime.test_limits import ASK, GOOD, KEYS, PRICED, answer, ask, statuses


def hashed(name: str) -> str:
    return hashlib.sha256(KEYS[name].encode()).hexdigest()


def spec(url: str, groups: str, *, alice: str = "", more: str = "") -> str:
    return f"""
    version: ccx/v1
    clients:
      alice: {{key: {{sha256: {hashed("alice")}}}, tags: {{team: core, tier: gold}}{alice}}}
      bob: {{key: {{sha256: {hashed("bob")}}}, tags: {{team: core}}}}
    groups: {groups}
    channels: {{first: {{protocol: messages, base_url: {url}, keys: none}}}}
    {more}
    """


async def used(gw: Running, *meters: Meter) -> tuple[int, ...]:
    return tuple(use.used for use in await gw.gateway.meters.standing(meters, now=time.time()))


async def test_a_team_shares_a_rate(tmp_path: Path) -> None:
    groups = "{core: {when: {tag: {team: core}}, limits: {requests: 3/min}}}"
    async with FaultUpstream([GOOD]) as first, running(spec(first.url, groups), tmp_path) as gw:
        assert await statuses(gw, 2, "alice") == [200, 200]
        assert await statuses(gw, 2, "bob") == [200, 429]
        refused = await ask(gw, "alice")
        assert refused.status_code == 429
        assert json.loads(refused.content)["error"]["message"] == (
            "The limit of group 'core': 3 requests/min is used up."
        )
        assert (await gw.exchange(5)).limited_by == "group 'core'/requests/60"
        assert len(first.requests) == 3


async def test_all_admit_or_none_is_charged(tmp_path: Path) -> None:
    core = "core: {when: {tag: {team: core}}, limits: {requests: 5/h}}"
    gold = 'gold: {when: {client: "a*", tag: {tier: [gold, silver]}}, limits: {requests: 2/h}}'
    others = 'others: {when: {client: "!alice"}, limits: {requests: 1/min}}'
    text = spec("URL", f"{{{core}, {gold}, {others}}}", alice=", limits: {requests: 4/h}")
    async with FaultUpstream([GOOD]) as first, running(text.replace("URL", first.url), tmp_path) as gw:
        assert await statuses(gw, 3) == [200, 200, 429]
        assert (await gw.exchange(3)).limited_by == "group 'gold'/requests/3600"
        callers = gw.gateway.live.metering.callers["alice"]
        assert [metered.name for metered in callers] == ["client 'alice'", "group 'core'", "group 'gold'"]
        assert await used(gw, *(rate for metered in callers for rate in metered.requests)) in ((2, 2, 2), (1, 1, 1))
        assert await statuses(gw, 2, "bob") == [200, 429]
        assert (await gw.exchange(5)).limited_by == "group 'others'/requests/60"


async def test_a_team_shares_its_money(tmp_path: Path) -> None:
    groups = "{core: {when: {tag: {team: core}}, budget: {usd: 3.5, per: total}}}"
    text = spec("URL", groups, alice=", budget: {usd: 100}", more=PRICED)
    # 400 tokens in at 1,000 USD a million, 300 out at 2,000: a dollar each.
    async with FaultUpstream([answer(400, 300)]) as first, running(text.replace("URL", first.url), tmp_path) as gw:
        assert await statuses(gw, 2, "alice") == [200, 200]
        assert await statuses(gw, 2, "bob") == [200, 429]
        refused = await ask(gw, "alice")
        assert refused.status_code == 429
        assert refused.headers["x-should-retry"] == "false"
        assert "group 'core': 3.50 USD for total" in refused.text
        assert (await gw.exchange(5)).limited_by == "group 'core'/usd/total"


async def test_a_refusal_by_the_group_leaves_the_clients_own_budget(tmp_path: Path) -> None:
    groups = "{core: {budget: {usd: 1.5, per: total}}}"
    text = spec("URL", groups, alice=", budget: {usd: 100, per: total}", more=PRICED)
    async with FaultUpstream([answer(400, 300)]) as first, running(text.replace("URL", first.url), tmp_path) as gw:
        assert await statuses(gw, 3) == [200, 429, 429]
        own, shared = Sum("client 'alice'/usd/total", 100_000_000), Sum("group 'core'/usd/total", 1_500_000)
        assert await used(gw, own, shared) == (1_000_000, 1_000_000)


async def test_of_two_budgets_of_one_period_the_smaller_counts_once(tmp_path: Path) -> None:
    groups = "{core: {budget: [{usd: 9, per: total}, {usd: 2.5, per: total}]}}"
    text = spec("URL", groups, more=PRICED)
    async with FaultUpstream([answer(400, 300)]) as first, running(text.replace("URL", first.url), tmp_path) as gw:
        assert await statuses(gw, 3) == [200, 200, 429]


async def test_the_place_of_a_group_is_free_again(tmp_path: Path) -> None:
    groups = "{core: {limits: {concurrency: 1}}}"
    slow = Drip(GOOD.raw(), step=64, pause=0.02)
    async with FaultUpstream([slow]) as first, running(spec(first.url, groups), tmp_path) as gw:
        both = await asyncio.gather(ask(gw, "alice"), ask(gw, "bob"))
        assert sorted(a.status_code for a in both) == [200, 429]
        assert await statuses(gw, 2, "bob") == [200, 200]


async def test_a_target_whose_model_is_at_its_limit_is_passed_over(tmp_path: Path) -> None:
    """The limit is that of the name upstream, over all channels, whatever clients call it."""
    async with FaultUpstream([GOOD]) as first, FaultUpstream([GOOD]) as second, FaultUpstream([GOOD]) as third:
        text = f"""
        version: ccx/v1
        channels:
          first: {{protocol: messages, base_url: {first.url}, keys: none, models: {{m: big, other: big}}}}
          second: {{protocol: messages, base_url: {second.url}, keys: none}}
          third: {{protocol: messages, base_url: {third.url}, keys: none}}
        models: {{big: {{limits: {{requests: 2/min}}}}}}
        routes:
          - {{name: all, to: [first, {{channel: second, model: big}}, {{channel: third, model: small}}]}}
          - {{name: never, when: {{model: none}}, to: [first]}}
        """
        async with running(text, tmp_path) as gw:
            served = []
            for model in ("m", "other", "m"):
                reply = await gw.client.post("/v1/messages", json={**ASK, "model": model})
                served.append(reply.headers["x-ccx-channel"])
            assert served == ["first", "first", "third"]
            assert not second.requests


async def test_when_only_the_limited_model_is_left_the_client_is_told(tmp_path: Path) -> None:
    more = "models: {m: {limits: {requests: 1/min}}}"
    async with FaultUpstream([GOOD]) as first, running(spec(first.url, "{}", more=more), tmp_path) as gw:
        assert await statuses(gw, 1) == [200]
        refused = await ask(gw, "bob")
        assert (refused.status_code, refused.headers["retry-after"]) in ((429, "59"), (429, "60"))
        assert "limit of model 'm': 1 requests/min" in refused.text
        assert (await gw.exchange(2)).limited_by == "model 'm'/requests/60"


async def test_a_model_at_its_limit_asks_no_other_key(tmp_path: Path) -> None:
    """Another key of a channel cannot help, and each would cost a round trip to the store."""
    async with FaultUpstream([GOOD]) as first:
        text = f"""
        version: ccx/v1
        channels: {{first: {{protocol: messages, base_url: {first.url}, keys: [{{env: A}}, {{env: B}}, {{env: C}}]}}}}
        models: {{m: {{limits: {{requests: 1/min}}}}}}
        """
        environ = {"A": "secret-a", "B": "secret-b", "C": "secret-c"}
        async with running(text, tmp_path, environ=environ) as gw:
            takes = 0
            take = gw.gateway.meters.take

            async def counted(*args: object, **kwargs: object) -> object:
                nonlocal takes
                takes += 1
                return await take(*args, **kwargs)  # type: ignore[arg-type]  # passed on as they are

            gw.gateway.meters.take = counted  # type: ignore[method-assign,assignment]  # counts, and takes
            statuses_ = [(await gw.client.post("/v1/messages", json=ASK)).status_code for _ in range(2)]
            assert statuses_ == [200, 429]
            assert takes == 2


def test_who_belongs_to_a_group() -> None:
    key = {"sha256": "0" * 64}
    clients = {
        "a": {"key": key, "tags": {"team": "core", "tier": "gold"}},
        "b": {"key": {"sha256": "1" * 64}, "tags": {"team": "core"}},
        "c": {"key": {"sha256": "2" * 64}},
        "off": {"key": {"sha256": "3" * 64}, "tags": {"team": "core"}, "enabled": False},
    }
    groups = {
        "both": {"when": {"client": ["a", "c"], "tag": {"team": "*"}}},
        "core": {"when": {"tag": {"team": "core"}}},
        "every": {},
        "none": {"when": {"tag": {"team": "!*"}}},
        "not-a": {"when": {"client": "!a"}},
    }
    document = {
        "version": "ccx/v1",
        "channels": {"demo": {"provider": "demo"}},
        "clients": clients,
        "groups": groups,
    }
    table = compile_spec(Spec.model_validate(document)).table
    found = {group.name: [client.name for client in members(table, group)] for group in table.groups}
    assert found == {"both": ["a"], "core": ["a", "b"], "every": ["a", "b", "c"], "none": [], "not-a": ["b", "c"]}
