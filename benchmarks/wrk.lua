-- Posts the file that BENCH_BODY names with the token BENCH_TOKEN, over and over, and prints what load.py would.
local file = assert(io.open(os.getenv("BENCH_BODY"), "rb"))
wrk.method, wrk.body = "POST", file:read("*a")
wrk.headers["content-type"] = "application/json"
local token = os.getenv("BENCH_TOKEN") or ""
if token ~= "" then wrk.headers["authorization"] = "Bearer " .. token end
file:close()

function done(summary, latency)
   local failed = summary.errors
   io.write(string.format(
      '\n{"requests":%d,"events":0,"errors":%d,"seconds":%.6f,"p50":%.4f,"p99":%.4f}\n',
      summary.requests,
      failed.connect + failed.read + failed.write + failed.status + failed.timeout,
      summary.duration / 1e6,
      latency:percentile(50) / 1e3,
      latency:percentile(99) / 1e3))
end
