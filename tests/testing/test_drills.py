"""Drills: every way an upstream can fail, in every protocol, on a clock that nobody waits for."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import pytest

from ccx.testing import clock
from ccx.testing.expectations import line
from tests.testing.kit import results

PAIR = """
version: ccx/v1
channels:
  one: {provider: anthropic, keys: {env: A}, timeouts: {connect: 4s, first_byte: 30s, idle: 50s, total: 10m}}
  two: {provider: CHANNEL, keys: {env: B}}
routes:
  - name: all
    to: [one, {channel: two, model: other}]
    failover: {attempts: 3, deadline: 5m, backoff: {initial: 1s, max: 20s}}
tests:
"""
GROUP = """
version: ccx/v1
channels: {a: {provider: demo}, b: {provider: demo}, c: {provider: demo}}
routes:
  - name: all
    to: [{balance: BALANCE, targets: [{channel: a, weight: 2}, b, c]}]
    failover: {attempts: 3}
tests:
"""


def drilled(manner: str, folder: Path, *, stream: bool = True, channel: str = "gemini", more: str = "") -> list[str]:
    test = (
        f"  - {{name: t, request: {{model: m, protocol: chat, stream: {str(stream).lower()}{more}}}, "
        f"upstreams: {{one: [{manner}]}}, expect: {{attempts: 0}}}}\n"
    )
    (one,) = results(PAIR.replace("CHANNEL", channel) + test, folder)
    assert one.drilled is not None
    assert one.drilled.trouble is None
    return [line(moment) for moment in one.drilled.timeline]


MANNERS = {
    "529": ["one 529 at 0s", "two 200 at 0s"],
    "refused": ["one refused at 0s", "two 200 at 0s"],
    "unreachable": ["one unreachable 4s at 0s", "two 200 at 4s"],
    "stall": ["one stall 30s at 0s", "two 200 at 30s"],
    "timeout": ["one stall 30s at 0s", "two 200 at 30s"],
    "reset": ["one reset at 0s", "two 200 at 0s"],
    "cut": ["one cut at 0s"],
    "stall_mid_stream": ["one stall_mid_stream 50s at 0s"],
    "overloaded_mid_stream": ["one overloaded_mid_stream at 0s"],
    "{error: overloaded}": ["one 529 at 0s", "two 200 at 0s"],
    "{error: quota}": ["one 402 at 0s", "two 200 at 0s"],
    "{error: context_window}": ["one 400 at 0s", "two 200 at 0s"],
    "{error: content_filter}": ["one 400 at 0s"],
    "201": ["one 201 at 0s"],
}


@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.parametrize("channel", ["anthropic", "gemini", "openai"])
def test_a_manner_of_failing(tmp_path: Path, manner: str, channel: str) -> None:
    began = time.perf_counter()
    assert drilled(manner, tmp_path, channel=channel) == MANNERS[manner]
    assert time.perf_counter() - began < 3  # what takes a minute there takes no time here


WHOLE = {
    "stall": ["one stall 600s at 0s"],  # without a stream only `total` holds, and then the deadline is over
    "cut": ["one cut at 0s", "two 200 at 0s"],
    "stall_mid_stream": ["one stall_mid_stream 600s at 0s"],
    "overloaded_mid_stream": ["one overloaded_mid_stream at 0s", "two 200 at 0s"],
}


@pytest.mark.parametrize("manner", WHOLE)
def test_an_answer_in_one_piece(tmp_path: Path, manner: str) -> None:
    assert drilled(manner, tmp_path, stream=False) == WHOLE[manner]


@pytest.mark.parametrize("protocol", ["messages", "chat", "responses", "gemini"])
@pytest.mark.parametrize("channel", ["anthropic", "gemini", "openai"])
def test_an_upstream_asks_for_a_wait_in_its_own_way(tmp_path: Path, protocol: str, channel: str) -> None:
    test = (
        f"  - {{name: t, request: {{model: m, protocol: {protocol}, stream: true}}, "
        "upstreams: {one: [503], two: [{status: 429, retry_after: 7s}]}, expect: {attempts: 3, status: 429}}\n"
    )
    text = PAIR.replace("to: [one, {channel: two, model: other}]", "to: [{channel: two, model: other}, one]")
    (one,) = results(text.replace("CHANNEL", channel) + test, tmp_path)
    assert one.passed, one.mismatches
    assert one.drilled is not None
    assert [line(moment) for moment in one.drilled.timeline][-2:] == ["wait 7s", "two 429 at 7s"]


SAID = {
    ("gemini", "quota"): "error: rate_limit",  # Google's quotas of a day and of a minute read alike
    ("gemini", "content_filter"): "served_by: two",  # its answer is a 200 that says why it says nothing
}


@pytest.mark.parametrize("asked", ["overloaded", "context_window", "content_filter", "quota"])
@pytest.mark.parametrize("channel", ["anthropic", "gemini", "openai"])
def test_an_error_is_said_so_that_it_is_understood(tmp_path: Path, asked: str, channel: str) -> None:
    script = f"{{one: [{{error: {asked}}}], two: [{{error: {asked}}}]}}"
    expect = SAID.get((channel, asked), f"error: {asked}")
    test = f"  - {{name: t, request: {{model: m}}, upstreams: {script}, expect: {{{expect}}}}}\n"
    text = PAIR.replace("to: [one, {channel: two, model: other}]", "to: [{channel: two, model: other}]")
    (one,) = results(text.replace("CHANNEL", channel) + test, tmp_path)
    assert one.passed, one.mismatches


def test_jitter_takes_its_longest(tmp_path: Path) -> None:
    timeline = "[one 500, two 500, wait 1s, one 500]"
    test = f"  - {{name: t, request: {{model: m}}, attempts: [500], expect: {{timeline: {timeline}}}}}\n"
    (one,) = results(PAIR.replace("CHANNEL", "gemini") + test, tmp_path)
    assert one.passed, one.mismatches


@pytest.mark.parametrize("balance", ["weighted", "round_robin", "least_connections"])
def test_a_sample_pins_the_draw_of_a_drill(tmp_path: Path, balance: str) -> None:
    samples = {"weighted": (0.1, 0.6, 0.9), "least_connections": (0.1, 0.6, 0.9), "round_robin": (0.1, 0.5, 0.9)}
    tests = "".join(
        f"  - {{name: {name}, request: {{model: m}}, sample: {sample}, "
        f"expect: {{target: {name}, served_by: {name}}}}}\n"
        for name, sample in zip("abc", samples[balance], strict=True)
    )
    for one in results(GROUP.replace("BALANCE", balance) + tests, tmp_path):
        assert one.passed, (one.case.name, one.mismatches)


def test_two_runs_are_the_same(tmp_path: Path) -> None:
    test = "  - {name: t, request: {model: m}, attempts: [500, 500, 200], expect: {attempts: 3}}\n"
    text = GROUP.replace("BALANCE", "weighted") + test
    runs = [results(text, tmp_path)[0].drilled for _ in range(8)]
    assert len({run.asked for run in runs if run is not None}) == 1


def test_a_request_that_is_not_routed_is_not_sent(tmp_path: Path) -> None:
    expect = "{attempts: 0, status: 404, error: no_route, within: 0s}"
    (one,) = results(f"tests: [{{name: t, request: {{model: llama}}, attempts: [500], expect: {expect}}}]", tmp_path)
    assert one.passed, one.mismatches


def test_facts_that_no_request_has_are_told(tmp_path: Path) -> None:
    text = """
    version: ccx/v1
    channels: {a: {provider: demo}}
    routes: [{name: pictures, when: {images: true}, to: [a]}, {name: rest, to: [a]}]
    tests: [{name: t, request: {model: m, protocol: embeddings, images: true}, expect: {served_by: a}}]
    """
    (one,) = results(text, tmp_path)
    assert [wrong.field for wrong in one.mismatches] == ["request"]
    assert "no request of this protocol has all of these facts" in one.mismatches[0].got


def test_the_clock_jumps() -> None:
    async def main() -> float:
        await asyncio.sleep(3600)
        async with asyncio.timeout(5):
            await asyncio.sleep(4)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await asyncio.Event().wait()
        return asyncio.get_running_loop().time()

    began = time.perf_counter()
    assert clock.run(main()) == pytest.approx(3664)
    assert time.perf_counter() - began < 2


def test_a_clock_that_nothing_moves_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_THREADS", 0.01)

    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(clock.Stuck):
        clock.run(main())


def test_work_in_a_thread_takes_no_time_on_the_clock() -> None:
    async def main() -> tuple[int, float]:
        return await asyncio.to_thread(lambda: 7), asyncio.get_running_loop().time()

    assert clock.run(main()) == (7, 0.0)


CONTINUED = PAIR.replace("attempts: 3,", "attempts: 3, midstream: continue,")


@pytest.mark.parametrize("manner", ["cut", "stall_mid_stream", "overloaded_mid_stream"])
@pytest.mark.parametrize("protocol", ["messages", "chat", "responses", "gemini"])
@pytest.mark.parametrize("channel", ["anthropic", "openai"])
def test_an_answer_that_breaks_off_is_continued(tmp_path: Path, manner: str, protocol: str, channel: str) -> None:
    at = "50s" if manner == "stall_mid_stream" else "0s"
    test = (
        f"  - {{name: t, request: {{model: m, protocol: {protocol}, stream: true}}, upstreams: {{one: [{manner}]}}, "
        f"expect: {{status: 200, served_by: two, attempts: 2, continued: 1, within: 0s, "
        f"timeline: [one {manner}, two 200 at {at}]}}}}\n"
    )
    (one,) = results(CONTINUED.replace("CHANNEL", channel) + test, tmp_path)
    assert one.passed, one.mismatches


def test_what_is_not_continued_is_told(tmp_path: Path) -> None:
    tests = (
        "  - {name: t, request: {model: m, stream: true}, attempts: [cut], "
        "expect: {error: upstream_cut, continued: 2}}\n"
        "  - {name: u, request: {model: m, stream: true}, attempts: [cut, 200], expect: {continued: 0}}\n"
    )
    kept, wrong = results(CONTINUED.replace("CHANNEL", "anthropic") + tests, tmp_path)
    assert kept.passed, kept.mismatches
    assert [(one.field, one.expected, one.got) for one in wrong.mismatches] == [("continued", "0", "1")]


MIDSTREAM = ("cut", "stall_mid_stream", "overloaded_mid_stream")


@pytest.mark.parametrize("seed", range(4))
def test_answers_that_break_off_by_chance(tmp_path: Path, seed: int) -> None:
    """Whatever the attempts meet: one answer, whole exactly if the last one was; each call that went on is told."""
    rng = random.Random(seed)
    manners = [*MIDSTREAM, *MIDSTREAM, "200", "refused", "500", "529", "stall"]
    scripts = [[rng.choice(manners) for _ in range(5)] for _ in range(25)]
    tests = "".join(
        f"  - {{name: t{n}, request: {{model: m, protocol: {rng.choice(('messages', 'chat', 'gemini', 'responses'))}, "
        f"stream: true}}, attempts: [{', '.join(script)}], expect: {{route: all}}}}\n"
        for n, script in enumerate(scripts)
    )
    text = CONTINUED.replace("attempts: 3", "attempts: 5").replace("CHANNEL", rng.choice(["anthropic", "openai"]))
    for script, one in zip(scripts, results(text + tests, tmp_path), strict=True):
        drilled = one.drilled
        assert drilled is not None
        assert drilled.trouble is None
        met = script[: drilled.attempts]
        begun = next((at for at, manner in enumerate(met) if manner in MIDSTREAM), len(met))
        assert "200" not in met[:-1]
        assert (drilled.error is None) == (met[-1] == "200"), met
        assert drilled.continued == sum(manner in (*MIDSTREAM, "200") for manner in met[begun + 1 :]), met
        if begun < len(met) or met[-1] == "200":
            assert drilled.status == 200, met
