-- The command that every HTTP server gets, and one line of JSON at the end; any answer but 201 is an error.
wrk.method = "POST"
wrk.body = assert(io.open(os.getenv("BODY"))):read("*a")
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer dev-consumer"

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  if failed > 0 then
    io.stderr:write(failed .. " requests failed\n")
    os.exit(1)
  end
  io.write(string.format(
    '{"rate":%f,"p50_ms":%f,"p99_ms":%f,"max_ms":%f,"answered":%d}\n',
    summary.requests / summary.duration * 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3, summary.requests
  ))
end
