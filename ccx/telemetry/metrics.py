"""The metrics of ccx: what each is called, what it means, and how an exchange or a reload changes it.

Law: labels hold names from the configuration, words of a closed vocabulary, or "other". The one label that a stranger
could fill, `model`, only takes names that `known_models` contains; the registry bounds the rest. Names and labels are
an interface: they may be added to, not changed. It must not know where the numbers are shown.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final, Literal

from ccx import __version__
from ccx.telemetry import process
from ccx.telemetry.exchange import OUTPACED, Exchange, Spent
from ccx.telemetry.exposition import WorkerSnapshot, decode, encode, merge, render
from ccx.telemetry.registry import MAX_SERIES, OTHER, Registry

DURATIONS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0)
FIRST_BYTES: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0)
QUEUE_WAITS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0)
ROUND_TRIPS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
_STATUSES: Final = {status: str(status) for status in range(100, 600)}

CONFIG_INFO: Final = "ccx_config_info"
RELOAD_OK: Final = "ccx_config_last_reload_successful"

ReloadResult = Literal["applied", "canary", "unchanged", "rejected"]


class Metrics:
    """The registry with every metric of ccx. `known_models` is replaced with each table."""

    def __init__(
        self,
        *,
        worker: str = "0",
        known_models: Container[str] = frozenset(),
        max_series: int = MAX_SERIES,
    ) -> None:
        self.worker = worker
        self.known_models = known_models
        self.registry = registry = Registry(max_series=max_series)

        self.requests = registry.counter(
            "ccx_requests_total",
            "Requests answered, by the status the client got; 499 when it went away first.",
            labels=("protocol", "route", "channel", "client", "status"),
            closed=frozenset({"protocol", "status"}),
        )
        self.durations = registry.histogram(
            "ccx_request_duration_seconds",
            "From the arrival of a request to the last byte of its answer.",
            labels=("route",),
            bounds=DURATIONS,
        )
        self.first_bytes = registry.histogram(
            "ccx_first_byte_seconds",
            "From the arrival of a request to the first byte of its answer.",
            labels=("route",),
            bounds=FIRST_BYTES,
        )
        self.attempts = registry.counter(
            "ccx_attempts_total",
            "Calls to upstreams: ok, or the class of their failure.",
            labels=("channel", "outcome"),
            closed=frozenset({"outcome"}),
        )
        self.retries = registry.counter(
            "ccx_retries_total",
            "Calls to a channel that had failed the same request before, by the class of that failure.",
            labels=("reason",),
            closed=frozenset({"reason"}),
        )
        self.failovers = registry.counter(
            "ccx_failovers_total",
            "Calls to another channel than the one that had failed the request, by the class of that failure.",
            labels=("reason",),
            closed=frozenset({"reason"}),
        )
        self.continuations = registry.counter(
            "ccx_continuations_total",
            "Calls to go on with an answer whose stream broke off: ok, broken (as well), failed (no answer); "
            "given_up, by the channel that broke, where nobody went on.",
            labels=("channel", "result"),
            closed=frozenset({"result"}),
        )
        self.hedges = registry.counter(
            "ccx_hedges_total",
            "Second calls made beside a slow first one, by whether they were quicker: won, lost.",
            labels=("route", "result"),
            closed=frozenset({"result"}),
        )
        self.retries_refused = registry.counter(
            "ccx_retry_budget_exhausted_total", "Retries not made for want of budget.", labels=("channel",)
        )
        self.target_health = registry.gauge(
            "ccx_target_health",
            "Processes that see a target in this state: closed, open, half_open (its breaker), cooling (its key).",
            labels=("channel", "protocol", "key", "state"),
            closed=frozenset({"protocol", "state"}),
            rule="sum",
        )
        self.breaker_transitions = registry.counter(
            "ccx_breaker_transitions_total",
            "Changes of breakers by the state they came to: open, half_open (each probe), closed.",
            labels=("channel", "to"),
            closed=frozenset({"to"}),
        )
        self.probes = registry.counter(
            "ccx_probes_total",
            "Active probes: ok, or the class of their failure.",
            labels=("channel", "outcome"),
            closed=frozenset({"outcome"}),
        )
        self.channel_override = registry.gauge(
            "ccx_channel_override",
            "1 while an order for a channel holds, an operator's or the spec's: drain, promote.",
            labels=("channel", "order"),
            closed=frozenset({"order"}),
            rule="max",
        )
        self.tokens = registry.counter(
            "ccx_tokens_total",
            "Tokens as reported by upstreams: input, output, cache_read, cache_write.",
            labels=("channel", "model", "direction"),
            closed=frozenset({"direction"}),
        )
        self.cache_requests = registry.counter(
            "ccx_cache_requests_total",
            "Requests on routes with a cache: hit, joined (another's request under way), miss, bypass.",
            labels=("route", "result"),
            closed=frozenset({"result"}),
        )
        self.sticky_requests = registry.counter(
            "ccx_sticky_requests_total",
            "Requests that were decided by the highest token count of their session instead of their own.",
            labels=("route",),
        )
        self.cache_bytes = registry.gauge(
            "ccx_cache_bytes",
            "What kept answers take; with Redis, those of all replicas together.",
            labels=("route",),
            rule="sum",
        )
        self.cache_evictions = registry.counter(
            "ccx_cache_evictions_total",
            "Kept answers that had to go for others; with Redis, of all replicas together.",
            labels=("route",),
        )
        self.queue_waiting = registry.gauge(
            "ccx_queue_waiting", "Requests that wait for a channel at its limit.", labels=("channel",), rule="sum"
        )
        self.queue_waits = registry.histogram(
            "ccx_queue_wait_seconds",
            "How long requests waited in the queue of a channel, whatever came of it.",
            labels=("channel",),
            bounds=QUEUE_WAITS,
        )
        self.queue_refused = registry.counter(
            "ccx_queue_refused_total",
            "Requests that did not wait to their turn, by reason: full, displaced (by a client with fewer), too_long "
            "(by what the limit says), deadline, gone (the channel), other (the limit of a model).",
            labels=("channel", "reason"),
            closed=frozenset({"reason"}),
        )
        self.table_info = registry.gauge(
            "ccx_table_info",
            "1 for each routing table that serves: active, and canary while a new one is tried on a share.",
            labels=("role", "digest"),
            closed=frozenset({"role"}),
            rule="max",
        )
        self.table_share = registry.gauge(
            "ccx_table_canary_share", "Share of the sessions that a canary serves; absent without one.", rule="max"
        )
        self.table_requests = registry.counter(
            "ccx_table_requests_total",
            "Requests while a canary is tried, by the table that served them: active, canary.",
            labels=("role", "status"),
            closed=frozenset({"role", "status"}),
        )
        self.table_first_bytes = registry.histogram(
            "ccx_table_first_byte_seconds",
            "From arrival to the first byte of an answer while a canary is tried, by the table: active, canary.",
            labels=("role",),
            bounds=FIRST_BYTES,
        )
        self.table_canaries = registry.counter(
            "ccx_table_canaries_total",
            "Canaries that have ended: promoted, breached, aborted, replaced (by a newer table), reverted.",
            labels=("result",),
            closed=frozenset({"result"}),
        )
        self.overload_limit = registry.gauge(
            "ccx_overload_limit",
            "New requests that may begin in a second while the process is overloaded. Absent while it is not.",
            rule="sum",
        )
        self.overload_shed = registry.counter(
            "ccx_overload_shed_total",
            "Requests refused to protect the process, by reason: concurrency (server.max_concurrency), lag, memory.",
            labels=("reason",),
            closed=frozenset({"reason"}),
        )
        self.overload_lag = registry.gauge(
            "ccx_overload_lag_seconds",
            "How late the event loop runs all the time, by which requests are shed; of several workers the worst.",
            rule="max",
        ).labelled()
        self.state_up = registry.gauge(
            "ccx_state_up",
            "1 if the store of shared state answers, 0 if limits are kept without it; of several workers the worst. "
            "Absent where state is in memory.",
            labels=("store",),
            rule="min",
        )
        self.state_seconds = registry.histogram(
            "ccx_state_seconds", "Round trips to the store of shared state.", labels=("store",), bounds=ROUND_TRIPS
        )
        self.state_errors = registry.counter(
            "ccx_state_errors_total",
            "Failures of the store of shared state, by kind: timeout, lost, refused, url, internal.",
            labels=("store", "kind"),
        )
        self.state_replicas = registry.gauge(
            "ccx_state_replicas",
            "How many processes share the store of state, as last known.",
            labels=("store",),
            rule="max",
        )
        self.budget_alerts = registry.counter(
            "ccx_budget_alerts_total",
            "Budgets of which a share was spent, told once in a period by one of all processes.",
            labels=("budget", "share"),
        )
        self.budget_spent = registry.gauge(
            "ccx_budget_spent_usd",
            "What is used of a budget in this period, with what is reserved for requests under way; alike in all "
            "processes that share the store of state.",
            labels=("budget", "per"),
            closed=frozenset({"per"}),
            rule="max",
        )
        self.budget_limit = registry.gauge(
            "ccx_budget_limit_usd",
            "The amount of a budget.",
            labels=("budget", "per"),
            closed=frozenset({"per"}),
            rule="max",
        )
        self.alerts_delivered = registry.counter(
            "ccx_alert_deliveries_total",
            "Alerts to the webhook by what became of them: ok, failed, dropped (too many waited).",
            labels=("result",),
            closed=frozenset({"result"}),
        )
        self.in_flight = registry.gauge("ccx_requests_in_flight", "Requests being served now.", rule="sum").labelled()
        self.connections = registry.gauge(
            "ccx_upstream_connections", "Connections to upstreams by state.", labels=("state",), rule="sum"
        )
        self.log_dropped = registry.counter(
            "ccx_log_dropped_total",
            "Log lines that were not written, by reason: buffer_full, unrenderable, write_failed.",
            labels=("reason",),
        )
        self.sink_failures = registry.counter(
            "ccx_telemetry_failures_total", "Exchanges that a telemetry sink failed to take.", labels=("sink",)
        )
        self._reload_ok = registry.gauge(
            RELOAD_OK,
            "1 if the last reload was applied or changed nothing, 0 if it was rejected; of several workers the worst.",
            rule="min",
        ).labelled()
        self._reload_at = registry.gauge(
            "ccx_config_last_reload_success_timestamp_seconds",
            "Unix time of the last successful reload; of several workers the oldest.",
            rule="min",
        ).labelled()
        self._config = registry.gauge(
            CONFIG_INFO, "The digest of the routing table in service, as a label.", labels=("digest",), rule="max"
        )
        self._reloads = registry.counter(
            "ccx_config_reloads_total", "Reloads by result: applied, canary, unchanged, rejected.", labels=("result",)
        )
        for result in ("applied", "canary", "unchanged", "rejected"):
            self._reloads.labelled(result)
        build = registry.gauge("ccx_build_info", "The version of ccx, as a label.", labels=("version",), rule="max")
        build.labelled(__version__).set(1)

        self.loop_lag = process.LoopLag()
        self._lag = registry.gauge(
            "ccx_event_loop_lag_seconds",
            "How late the event loop ran its timers, the worst of the last 15 seconds.",
            rule="max",
        ).labelled()
        self._resident = registry.gauge(
            "process_resident_memory_bytes", "Resident memory size in bytes.", rule="per_worker"
        )
        self._descriptors = registry.gauge("process_open_fds", "Number of open file descriptors.", rule="per_worker")
        self._started = registry.gauge(
            "process_start_time_seconds", "Unix time at which the process started.", rule="per_worker"
        )
        self._cpu = registry.counter(
            "process_cpu_seconds_total", "User and system CPU time spent in seconds."
        ).labelled()
        registry.on_read(self._read_process)

    @property
    def first(self) -> bool:
        """Whether this is the one of several workers that tells what they all have in common."""
        return self.worker == "0"

    def observe(self, exchange: Exchange) -> None:
        """Count one finished exchange."""
        x = exchange
        route = x.route or ""
        attempts = x.attempts
        channel = attempts[-1].channel if attempts else ""
        status = _STATUSES.get(x.status, OTHER)
        self.requests.labelled(x.protocol, route, channel, x.client or "", status).value += 1
        self.durations.labelled(route).observe(x.total_seconds)
        if x.first_byte_seconds is not None:
            self.first_bytes.labelled(route).observe(x.first_byte_seconds)
        for attempt in attempts:
            self.attempts.labelled(attempt.channel, attempt.outcome).value += 1
        if len(attempts) > 1:
            self._observe_retries(x, route)
        if x.table is not None:
            self.table_requests.labelled(x.table, status).value += 1
            if x.first_byte_seconds is not None:
                self.table_first_bytes.labelled(x.table).observe(x.first_byte_seconds)
        if x.cache is not None:
            self.cache_requests.labelled(route, x.cache).value += 1
        if x.sticky_tokens is not None:
            self.sticky_requests.labelled(route).value += 1
        if x.queued_seconds is not None:
            self.queue_waits.labelled(x.queued_for or "").observe(x.queued_seconds)
        if not attempts:
            return
        for continuing, result in x.continuations:
            self.continuations.labelled(continuing, result).value += 1
        if x.spent:
            for spent in x.spent:
                self._observe_tokens(spent, spent.channel, spent.model)
        else:
            self._observe_tokens(x, channel, attempts[-1].model)

    def _observe_tokens(self, x: Exchange | Spent, channel: str, model: str) -> None:
        if model not in self.known_models:
            model = OTHER
        if x.input_tokens:
            self.tokens.labelled(channel, model, "input").inc(x.input_tokens)
        if x.output_tokens:
            self.tokens.labelled(channel, model, "output").inc(x.output_tokens)
        if x.cache_read_tokens:
            self.tokens.labelled(channel, model, "cache_read").inc(x.cache_read_tokens)
        if x.cache_write_tokens:
            self.tokens.labelled(channel, model, "cache_write").inc(x.cache_write_tokens)

    def _observe_retries(self, x: Exchange, route: str) -> None:
        for before, attempt in pairwise(x.attempts):
            if before.outcome == OUTPACED or attempt.outcome == OUTPACED:
                continue  # made side by side
            family = self.retries if before.channel == attempt.channel else self.failovers
            family.labelled(before.outcome).value += 1
        if x.hedged is not None:
            self.hedges.labelled(route, x.hedged).value += 1

    def reloaded(self, result: ReloadResult, *, digest: str | None, at: float, good: bool = True) -> None:
        """Record a reload at unix time `at`; `digest` is of the table in service afterwards, None if there is none.

        `good` False: nothing changed, and what the files say is still not what is served.
        """
        self._reloads.labelled(result).inc()
        good = good and result != "rejected"
        self._reload_ok.set(1 if good else 0)
        if good:
            self._reload_at.set(at)
        self._config.clear()
        if digest is not None:
            self._config.labelled(digest).set(1)

    def set_tables(self, digests: Mapping[str, str], *, share: float | None, ended: Iterable[tuple[str, int]]) -> None:
        """Replace which tables serve, by role, the share of a canary, and how canaries have ended so far."""
        self.table_info.clear()
        for role, digest in digests.items():
            self.table_info.labelled(role, digest).set(1)
        self.table_share.clear()
        if share is not None:
            self.table_share.labelled().set(share)
        for result, count in ended:
            self.table_canaries.labelled(result).set(count)

    def set_connections(self, by_state: Mapping[str, int]) -> None:
        """Replace the number of upstream connections in each state."""
        self.connections.clear()
        for state, count in by_state.items():
            self.connections.labelled(state).set(count)

    def set_health(
        self,
        targets: Iterable[tuple[str, str, str, str]],
        overrides: Mapping[str, str],
        *,
        transitions: Mapping[tuple[str, str], int],
        refused: Mapping[str, int],
    ) -> None:
        """Replace what is known of targets (channel, protocol, key, state), the orders in force by channel, and how
        often breakers have changed and retries were not made, so far."""
        self.target_health.clear()
        for labels in targets:
            self.target_health.labelled(*labels).set(1)
        self.channel_override.clear()
        for channel, order in overrides.items():
            self.channel_override.labelled(channel, order).set(1)
        for change, count in transitions.items():
            self.breaker_transitions.labelled(*change).set(count)
        for channel, count in refused.items():
            self.retries_refused.labelled(channel).set(count)

    def set_queues(self, waiting: Mapping[str, int], *, refused: Mapping[tuple[str, str], int]) -> None:
        """Replace how many wait for each channel, and how often one did not wait to its turn so far, by channel and
        reason."""
        self.queue_waiting.clear()
        for channel, count in waiting.items():
            self.queue_waiting.labelled(channel).set(count)
        for labels, count in refused.items():
            self.queue_refused.labelled(*labels).set(count)

    def set_overload(self, limit: float | None, *, lag: float, shed: Mapping[str, int]) -> None:
        """Replace what is known of overload: the limit if there is one, how late the loop is, what was shed so far."""
        if limit is None:
            self.overload_limit.clear()
        else:
            self.overload_limit.labelled().set(limit)
        self.overload_lag.set(lag)
        for reason, count in shed.items():
            self.overload_shed.labelled(reason).set(count)

    def set_cache(self, by_route: Mapping[str, tuple[int, int]]) -> None:
        """Replace what is kept of answers: bytes, and evictions so far, by route."""
        self.cache_bytes.clear()
        for route, (size, evictions) in by_route.items():
            self.cache_bytes.labelled(route).set(size)
            self.cache_evictions.labelled(route).value = evictions

    def set_budgets(self, standing: Iterable[tuple[str, str, float, float]]) -> None:
        """Replace how budgets stand: name, period, dollars used and allowed."""
        self.budget_spent.clear()
        self.budget_limit.clear()
        for budget, per, spent, limit in standing:
            self.budget_spent.labelled(budget, per).set(spent)
            self.budget_limit.labelled(budget, per).set(limit)

    def set_state(self, store: str, *, up: bool, replicas: int, errors: Mapping[str, int]) -> None:
        """Replace what is known of the store of shared state."""
        self.state_up.labelled(store).set(1 if up else 0)
        self.state_replicas.labelled(store).set(replicas)
        for kind, count in errors.items():
            self.state_errors.labelled(store, kind).value = count

    def snapshot(self, *, live: bool = True) -> bytes:
        """Everything as bytes that another worker can merge."""
        return encode(self.read(live=live))

    def read(self, *, live: bool = True) -> WorkerSnapshot:
        """Everything as plain data. `live` is false for the last one of a worker that stops."""
        return WorkerSnapshot(self.worker, live, self.registry.snapshot())

    def render(self) -> bytes:
        """This process's metrics in the text exposition format; its Content-Type is `exposition.CONTENT_TYPE`."""
        return render(self.registry.snapshot())

    def merge(self, snapshots: Sequence[bytes]) -> bytes:
        """This process's metrics together with those of other workers, rendered.

        Raises msgspec.DecodeError or msgspec.ValidationError for bytes that are no snapshot.
        """
        return render(merge([self.read(), *(decode(data) for data in snapshots)]))

    def _read_process(self) -> None:
        self._lag.set(self.loop_lag.seconds)
        self._cpu.set(process.cpu_seconds())
        for gauge, number in (
            (self._resident, process.resident_bytes()),
            (self._descriptors, process.open_descriptors()),
            (self._started, process.start_time()),
        ):
            if number is None:
                gauge.clear()
            else:
                gauge.labelled().set(number)


def metric_table() -> str:
    """Every metric with its type, labels and meaning, as a Markdown table sorted by name."""
    return Metrics().registry.table()
