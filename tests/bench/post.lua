-- wrk: POST the file $BENCH_BODY to $BENCH_PATH with the headers of a coding agent and those in $BENCH_HEADERS
-- ("name: value" lines); one line of JSON at the end. Latencies are in microseconds.
local file = assert(io.open(os.getenv("BENCH_BODY"), "rb"))
wrk.method, wrk.body = "POST", file:read("*a")
file:close()
wrk.path = os.getenv("BENCH_PATH")
-- All in small letters: a header that is set twice must not be sent twice.
local plain = {
  ["content-type"] = "application/json", ["accept"] = "application/json", ["anthropic-version"] = "2023-06-01",
  ["anthropic-beta"] = "context-1m-2025-08-07,interleaved-thinking-2025-05-14", ["user-agent"] = "bench-agent/1.0 (external)",
  ["x-app"] = "cli", ["x-stainless-lang"] = "js", ["x-stainless-os"] = "Linux", ["x-stainless-arch"] = "x64",
  ["x-stainless-runtime"] = "node", ["x-stainless-retry-count"] = "0", ["x-stainless-timeout"] = "600",
}
for name, value in pairs(plain) do wrk.headers[name] = value end
for line in (os.getenv("BENCH_HEADERS") or ""):gmatch("[^\n]+") do
  local name, value = line:match("^([^:]+):%s*(.*)$")
  wrk.headers[name] = value
end
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    'JSON{"n":%d,"seconds":%.6f,"p50":%.1f,"p90":%.1f,"p99":%.1f,"max":%.1f,"refused":%d,"broken":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(90), latency:percentile(99),
    latency.max, e.status, e.connect + e.read + e.write + e.timeout))
end
