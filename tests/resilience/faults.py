"""The fault table as it is measured. `python -m tests.resilience.faults --markdown` prints it."""

from __future__ import annotations

import argparse
import asyncio
import logging
import time
from collections.abc import Mapping

from tests.resilience.measure import PAIRS, Measured, Pair, Way, measured, ways
from tests.resilience.table import FAULTS, Fault, Outcome

Found = Mapping[Way, Measured]


def found(results: Found, fault: Fault, pair: Pair, *, stream: bool) -> Outcome:
    """What was measured, in the words of the table."""
    by = {(w.alone): m for w, m in results.items() if (w.fault, w.pair, w.stream) == (fault, pair, stream)}
    two, alone = by[False], by[True]
    return Outcome(two.client, two.attempts, two.state, alone.client, len(alone.attempts))


def _cell(outcome: Outcome) -> str:
    return f"{outcome.client}; {' → '.join(outcome.attempts)}; {outcome.state}"


def _alone(outcome: Outcome) -> str:
    return outcome.alone + (f" ×{outcome.tries}" if outcome.tries > 1 else "")


def markdown(results: Found) -> str:
    """The table. What differs between the pairs of protocols stands in a row of its own."""
    lines = ["| fault | streamed: client sees; attempts; state | whole | alone |", "|---|---|---|---|"]
    for fault in FAULTS:
        shown: dict[str, list[str]] = {}
        for pair in PAIRS:
            streamed, whole = (found(results, fault, pair, stream=stream) for stream in (True, False))
            alone = _alone(streamed) if _alone(streamed) == _alone(whole) else f"{_alone(streamed)} / {_alone(whole)}"
            second = "same" if _cell(whole) == _cell(streamed) else _cell(whole)
            shown.setdefault(f"{_cell(streamed)} | {second} | {alone}", []).append(pair.name)
        for row, names in shown.items():
            where = "" if len(names) == len(PAIRS) else f" ({', '.join(names)})"
            lines.append(f"| {fault.name}{where} | {row} |")
    return "\n".join(lines)


SHOWN = (
    "connection refused",
    "silent before the head",
    "reset before the head",
    "reset in the body",
    "silent in the body",
    "overloaded after first words",
    "401",
    "404, no such model",
    "413",
    "429, retry-after: 7",
    "529",
    "200, overloaded",
    "garbage for an answer",
)
_STATES = {"1 failure": "counts in its breaker", "untouched": "nothing"}


def short() -> str:
    """The README's part of the table, in words: what is demanded, which is what is measured."""
    lines = ["| fault | streamed | whole | held against the target | without another |", "|---|---|---|---|---|"]
    by_name = {fault.name: fault for fault in FAULTS}
    for fault in (by_name[name] for name in SHOWN):
        streamed, whole = fault.streamed, fault.whole
        # A stream that has begun ends as it would beside another target.
        alone = dict.fromkeys(_alone(outcome) for outcome in (streamed, whole) if outcome.client == "answer")
        against = dict.fromkeys(_against(outcome) for outcome in (streamed, whole))
        cells = (fault.name, _seen(streamed), _seen(whole), " / ".join(against), " / ".join(alone) or "the same")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _seen(outcome: Outcome) -> str:
    if outcome.client == "answer":
        return "✔"
    return "its beginning, error event" if outcome.client.startswith("error event") else outcome.client


def _against(outcome: Outcome) -> str:
    cause, _, rest = outcome.state.partition(" ")
    return _STATES.get(outcome.state) or f"its key rests {rest} ({cause})"


def differences(results: Found) -> list[str]:
    """Where what was measured is not what the table demands."""
    said: list[str] = []
    for fault in FAULTS:
        for pair in PAIRS:
            for stream in (True, False):
                want = fault.expected(stream=stream, converted=pair.converted)
                have = found(results, fault, pair, stream=stream)
                if want != have:
                    said.append(f"{fault.name}, {pair.name}, {'stream' if stream else 'whole'}:\n  {want}\n  {have}")
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--markdown", action="store_true", help="the table itself, not only how it differs")
    options = parser.parse_args()
    logging.getLogger("uvicorn.error").disabled = True  # it tells of every connection that was cut on purpose
    begun = time.monotonic()
    results = asyncio.run(measured(ways()))
    if options.markdown:
        print(markdown(results))
    wrong = differences(results)
    print("\n".join(wrong) or f"\n{len(results)} ways to ask, all as demanded; {time.monotonic() - begun:.1f} s")
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
