"""The model catalogue: whole rows, exact lookup, exact arithmetic."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError
from datetime import date
from decimal import Decimal
from typing import get_args
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.catalog.models import Capability, Kind, Modality, Model, Price, cost, lookup, models, parse, price_at
from ccx.catalog.providers import provider, providers

ROWS = models()
FIELDS = ("input", "output", "cache_read", "cache_write", "cache_write_1h")


def row(name: str, *, of: str | None = None) -> Model:
    found = lookup(name, provider=of)
    assert found is not None, name
    return found


def amounts(price: Price) -> dict[str, Decimal]:
    return {name: usd for name in FIELDS if (usd := getattr(price, name)) is not None}


def one(body: str = "", *, price: str = 'price = { input = "1", output = "2" }', head: str = "") -> str:
    return f"""
provider = "a"
source = "https://a.example/pricing"
checked = 2026-11-21
{head}
[[model]]
id = "m-1"
title = "M 1"
context_window = 1000
max_output_tokens = 100
modalities = ["text"]
{price}
{body}
"""


class TestData:
    @pytest.mark.parametrize("it", ROWS, ids=lambda it: it.id)
    def test_rows_are_complete(self, it: Model) -> None:
        preset = provider(it.provider)
        assert preset is not None
        assert preset.name == it.provider, "a row names its provider, not an alias"
        assert it.title
        assert it.kind in get_args(Kind)
        assert it.modalities <= set(get_args(Modality))
        assert "text" in it.modalities
        assert it.capabilities <= set(get_args(Capability))
        assert urlsplit(it.source).scheme == "https"
        assert type(it.checked) is date
        assert it.checked >= date(2026, 1, 1)

    @pytest.mark.parametrize("it", ROWS, ids=lambda it: it.id)
    def test_limits_make_sense(self, it: Model) -> None:
        for limit in (it.context_window, it.max_output_tokens):
            assert limit is None or (type(limit) is int and limit > 0)
        if it.kind != "image":
            assert it.context_window is not None
        if it.kind == "embedding":
            assert it.max_output_tokens is None
        if it.context_window is not None and it.max_output_tokens is not None:
            assert it.max_output_tokens <= it.context_window

    @pytest.mark.parametrize("it", ROWS, ids=lambda it: it.id)
    def test_prices_make_sense(self, it: Model) -> None:
        for price in (it.price, *(tier.price for tier in it.tiers)):
            assert price.input > 0
            assert (price.output == 0) == (it.kind == "embedding")
            assert all(type(usd) is Decimal and usd >= 0 for usd in amounts(price).values())
            if price.cache_read is not None:
                assert 0 < price.cache_read <= price.input
            if price.cache_write is not None:
                assert price.cache_write >= price.input
            if price.cache_write_1h is not None:
                assert price.cache_write is not None
                assert price.cache_write_1h >= price.cache_write
            assert price.input < 200, "dollars per million, not cents nor per thousand"

    @pytest.mark.parametrize("it", [it for it in ROWS if it.tiers], ids=lambda it: it.id)
    def test_tiers_only_ever_cost_more(self, it: Model) -> None:
        before, above = amounts(it.price), 0
        for tier in it.tiers:
            assert tier.above > above
            after = amounts(tier.price)
            assert after.keys() == before.keys()
            assert all(after[name] >= before[name] for name in before)
            assert after != before
            before, above = after, tier.above
        assert it.context_window is not None
        assert above < it.context_window

    @pytest.mark.parametrize("it", [it for it in ROWS if it.deprecated and it.retires], ids=lambda it: it.id)
    def test_the_end_is_announced_before_it_comes(self, it: Model) -> None:
        assert it.deprecated is not None
        assert it.retires is not None
        assert it.deprecated < it.retires

    def test_names_are_unique(self) -> None:
        names = [name for it in ROWS for name in (it.id, *it.aliases)]
        assert len(names) == len(set(names))

    def test_every_vendor_has_rows(self) -> None:
        assert {it.provider for it in ROWS} == {
            *("anthropic", "openai", "google", "deepseek", "xai", "groq", "mistral", "qwen", "moonshot", "zhipu")
        }

    def test_order_follows_the_presets(self) -> None:
        order = [it.name for it in providers()]
        assert [order.index(it.provider) for it in ROWS] == sorted(order.index(it.provider) for it in ROWS)

    def test_rows_cannot_be_changed(self) -> None:
        with pytest.raises(FrozenInstanceError):
            ROWS[0].id = "other"  # type: ignore[misc]  # what is tested

    def test_the_data_is_read_once(self) -> None:
        assert models() is ROWS


class TestLookup:
    @pytest.mark.parametrize("it", ROWS, ids=lambda it: it.id)
    def test_every_row_is_found_by_each_of_its_names(self, it: Model) -> None:
        for name in (it.id, *it.aliases):
            assert lookup(name) is it
            assert lookup(name, provider=it.provider) is it

    @pytest.mark.parametrize(
        ("asked", "found"),
        [
            ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
            ("claude-opus-4-20250514", "claude-opus-4"),
            ("claude-opus-4-5@20251101", "claude-opus-4-5"),
            ("gpt-5.4-2026-03-05", "gpt-5.4"),
            ("claude-opus-4-0", "claude-opus-4"),
            ("claude-opus-4.8", "claude-opus-4-8"),
            ("anthropic/claude-opus-4.8", "claude-opus-4-8"),
            ("anthropic/claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
            ("google/gemini-2.5-pro", "gemini-2.5-pro"),
            ("gemini/gemini-2.5-pro", "gemini-2.5-pro"),
            ("models/gemini-2.5-pro", "gemini-2.5-pro"),
            ("x-ai/grok-4.7", "grok-4.7"),
            ("z-ai/glm-5.3", "glm-5.3"),
            ("moonshotai/kimi-k3", "kimi-k3"),
            ("mistralai/mistral-large-2512", "mistral-large-2512"),
            ("openai/gpt-oss-120b", "openai/gpt-oss-120b"),
        ],
    )
    def test_names_of_the_world(self, asked: str, found: str) -> None:
        assert row(asked).id == found

    def test_a_snapshot_with_a_row_of_its_own_is_not_the_current_one(self) -> None:
        assert row("gpt-4o-2024-05-13").price.input == Decimal(5)
        assert row("gpt-4o-2024-08-06").price.input == Decimal("2.50")

    @pytest.mark.parametrize(
        "asked",
        [
            "",
            "claude",
            "claude-opus",
            "claude-opus-4-8-fast",
            "claude-opus-4-8-",
            "claude-opus-4-8-20261399",  # no such day
            "claude-opus-4-8-2026-02-30",
            "claude-opus-4-8-20260101-20260101",
            "Claude-Opus-4-8",
            "claude-opus-4-8:free",
            "google/claude-opus-4-8",  # not Google's
            "nobody/claude-opus-4-8",
            "anthropic/",
            "/claude-opus-4-8",
            "anthropic/anthropic/claude-opus-4-8",
            "openrouter/claude-opus-4-8",
        ],
    )
    def test_nothing_is_found_by_likeness(self, asked: str) -> None:
        assert lookup(asked) is None

    def test_a_provider_narrows_the_search(self) -> None:
        assert lookup("claude-opus-4-8", provider="openai") is None
        assert lookup("gpt-5.4", provider="azure") is row("gpt-5.4")
        assert lookup("glm-5.3", provider="z.ai") is row("glm-5.3")
        assert lookup("qwen3.7-plus", provider="qwen-cn") is row("qwen3.7-plus")
        assert lookup("anthropic/claude-opus-4-8", provider="anthropic") is row("claude-opus-4-8")
        assert lookup("anthropic/claude-opus-4-8", provider="openai") is None
        assert lookup("gpt-5.4", provider="nobody") is None

    @pytest.mark.parametrize("local", ["ollama", "vllm", "lmstudio", "demo", "openai-compatible"])
    def test_an_endpoint_of_ones_own_has_no_list_price(self, local: str) -> None:
        assert lookup("openai/gpt-oss-120b", provider=local) is None

    def test_openrouter_needs_the_vendor_and_knows_only_the_vendors_price(self) -> None:
        assert lookup("anthropic/claude-opus-4.8", provider="openrouter") is row("claude-opus-4-8")
        assert lookup("claude-opus-4-8", provider="openrouter") is None
        assert lookup("openai/gpt-oss-120b", provider="openrouter") is None, "that row is Groq's"

    @given(st.sampled_from(ROWS), st.data())
    def test_a_slip_of_the_finger_is_never_another_model(self, it: Model, data: st.DataObject) -> None:
        at = data.draw(st.integers(0, len(it.id) - 1))
        slip = it.id[:at] + data.draw(st.sampled_from(["", "x", "-", "/", it.id[at] * 2])) + it.id[at + 1 :]
        found = lookup(slip)
        assert found is None or slip in {found.id, *found.aliases}

    @given(st.text(max_size=40))
    def test_any_text_is_answered(self, text: str) -> None:
        assert lookup(text) is None
        assert lookup("openai/" + text, provider=text) is None

    @given(st.sampled_from(ROWS), st.dates(min_value=date(2020, 1, 1), max_value=date(2030, 12, 31)))
    def test_any_dated_snapshot_is_found(self, it: Model, day: date) -> None:
        for name in (f"{it.id}-{day:%Y%m%d}", f"{it.id}@{day:%Y%m%d}"):
            assert lookup(name) is it


class TestCost:
    def test_plain(self) -> None:
        # claude-opus-4-8: 5 in, 25 out.  10,000 x 5 + 2,000 x 25 = 100,000 millionths
        assert cost(row("claude-opus-4-8"), input_tokens=10_000, output_tokens=2_000) == Decimal("0.1")

    def test_cache(self) -> None:
        # 1,000 plain x 5 + 8,000 read x 0.50 + 600 written x 6.25 + 400 for 1h x 10 + 100 out x 25
        # = 5,000 + 4,000 + 3,750 + 4,000 + 2,500 = 19,250 millionths
        spent = cost(
            row("claude-opus-4-8"),
            input_tokens=10_000,
            output_tokens=100,
            cache_read_tokens=8_000,
            cache_write_tokens=600,
            cache_write_1h_tokens=400,
        )
        assert spent == Decimal("0.01925")

    @pytest.mark.parametrize(
        ("prompt", "expected"),
        [
            (200_000, Decimal("0.26")),  # 200,000 x 1.25 + 1,000 x 10
            (200_001, Decimal("0.5150025")),  # 200,001 x 2.50 + 1,000 x 15: every token costs the higher price
        ],
    )
    def test_the_tier_begins_above_its_threshold(self, prompt: int, expected: Decimal) -> None:
        assert cost(row("gemini-2.5-pro"), input_tokens=prompt, output_tokens=1_000) == expected

    def test_an_inclusive_threshold(self) -> None:
        grok = row("grok-4.7")
        assert cost(grok, input_tokens=199_999, output_tokens=0) == Decimal("0.399998")
        assert cost(grok, input_tokens=200_000, output_tokens=0) == Decimal("0.8")

    def test_cached_tokens_count_towards_the_tier(self) -> None:
        # haiku 5.5 above 100k: 0.50 in, 2.50 out, 0.05 read.  1,000 x 0.50 + 150,000 x 0.05 + 1,000 x 2.50 = 10,500
        spent = cost(row("claude-haiku-5-5"), input_tokens=151_000, output_tokens=1_000, cache_read_tokens=150_000)
        assert spent == Decimal("0.0105")

    def test_a_cache_without_a_price_costs_what_input_costs(self) -> None:
        pro = row("gpt-5.4-pro")
        assert pro.price.cache_read is None
        plain = cost(pro, input_tokens=1_000, output_tokens=0)
        assert plain == Decimal("0.03")
        assert plain == cost(
            pro,
            input_tokens=1_000,
            output_tokens=0,
            cache_read_tokens=400,
            cache_write_tokens=300,
            cache_write_1h_tokens=200,
        )

    def test_an_hour_without_a_price_costs_what_writing_costs(self) -> None:
        sol = row("gpt-6.1-sol")
        assert sol.price.cache_write_1h is None
        assert cost(sol, input_tokens=1_000, output_tokens=0, cache_write_1h_tokens=1_000) == Decimal("0.0025")

    def test_nothing_costs_nothing(self) -> None:
        assert all(cost(it, input_tokens=0, output_tokens=0) == 0 for it in ROWS)

    @pytest.mark.parametrize(
        "counts",
        [
            {"input_tokens": -1, "output_tokens": 0},
            {"input_tokens": 0, "output_tokens": -1},
            {"input_tokens": 5, "output_tokens": 0, "cache_read_tokens": -1},
            {"input_tokens": 5, "output_tokens": 0, "cache_write_tokens": -1},
            {"input_tokens": 5, "output_tokens": 0, "cache_write_1h_tokens": -1},
            {"input_tokens": 5, "output_tokens": 0, "cache_read_tokens": 6},
            {"input_tokens": 5, "output_tokens": 0, "cache_read_tokens": 3, "cache_write_tokens": 3},
        ],
    )
    def test_impossible_counts_are_refused(self, counts: dict[str, int]) -> None:
        with pytest.raises(ValueError, match="impossible token counts"):
            cost(ROWS[0], **counts)

    @given(st.sampled_from(ROWS), st.integers(0, 2_000_000), st.integers(0, 200_000), st.data())
    def test_arithmetic_is_exact(self, it: Model, prompt: int, output: int, data: st.DataObject) -> None:
        read = data.draw(st.integers(0, prompt))
        price = price_at(it, prompt)
        read_price = price.input if price.cache_read is None else price.cache_read
        spent = cost(it, input_tokens=prompt, output_tokens=output, cache_read_tokens=read)
        # in integers of 10^-12 dollars: no price has more than six decimals
        units = [int(usd * 10**6) for usd in (price.input, read_price, price.output)]
        assert [Decimal(unit) / 10**6 for unit in units] == [price.input, read_price, price.output]
        assert int(spent * 10**12) == (prompt - read) * units[0] + read * units[1] + output * units[2]

    @given(st.sampled_from(ROWS), st.integers(0, 2_000_000), st.integers(1, 1_000))
    def test_a_longer_prompt_never_costs_less(self, it: Model, prompt: int, more: int) -> None:
        assert cost(it, input_tokens=prompt + more, output_tokens=10) > cost(it, input_tokens=prompt, output_tokens=10)


class TestParse:
    def test_a_row(self) -> None:
        (it,) = parse(one('aliases = ["m"]\nretires = 2027-01-02'))
        assert (it.id, it.provider, it.kind, it.aliases) == ("m-1", "a", "chat", ("m",))
        assert (it.source, it.checked) == ("https://a.example/pricing", date(2026, 11, 21))
        assert it.retires == date(2027, 1, 2)
        assert it.price == Price(input=Decimal(1), output=Decimal(2))

    def test_a_row_may_have_a_source_of_its_own(self) -> None:
        (it,) = parse(one('source = "https://a.example/m-1"\nchecked = 2026-10-01'))
        assert (it.source, it.checked) == ("https://a.example/m-1", date(2026, 10, 1))

    @pytest.mark.parametrize(
        ("toml", "said"),
        [
            pytest.param(one("colour = 1"), "model 'm-1': ValueError(\"unknown keys ['colour']\")", id="unknown key"),
            pytest.param(one(head="colour = 1"), "unknown keys: ['colour']", id="unknown key of the file"),
            pytest.param(one('kind = "smoke"'), "unknown ['smoke']", id="kind"),
            pytest.param(one('capabilities = ["fly"]'), "unknown ['fly']", id="capability"),
            pytest.param(one().replace('"text"', '"smell"'), "unknown ['smell']", id="modality"),
            pytest.param(one().replace('title = "M 1"', ""), "KeyError('title')", id="missing field"),
            pytest.param(one().replace('provider = "a"', ""), "missing 'provider'", id="missing field of the file"),
            pytest.param(one(price="price = { input = 0.1, output = 2 }"), "write amounts as strings", id="float"),
            pytest.param(one(price='price = { input = "1" }'), "output", id="no output price"),
            pytest.param(one(price='price = { input = "x", output = "1" }'), "InvalidOperation", id="no number"),
            pytest.param(one(price='price = { input = "1", output = "1", tea = "1" }'), "tea", id="unknown price"),
            pytest.param(
                one('tiers = [{ above = 9, input = "2", output = "2" }, { above = 5, input = "3", output = "3" }]'),
                "tiers do not ascend",
                id="tiers out of order",
            ),
            pytest.param(one('aliases = ["m-1"]'), "the name 'm-1' already means 'm-1'", id="name twice"),
        ],
    )
    def test_a_wrong_row_is_refused_by_name(self, toml: str, said: str) -> None:
        with pytest.raises(ValueError, match=re.escape(said)):
            parse(toml)
