-- A script for wrk: it asks for random IPv4 addresses, and every fourth time for an IPv6 address.
-- A 404 is a correct answer: no network holds the address. The end counts other answers as errors.

local threads = {}

function setup(thread)
  thread:set("seed", 4711 + #threads)
  table.insert(threads, thread)
end

function init()
  math.randomseed(seed)
  found, missing, wrong = 0, 0, 0
end

function request()
  local random = math.random
  local address
  if random(4) == 1 then
    address = string.format("2%03x:%x:%x::%x",
      random(0, 0xfff), random(0, 0xffff), random(0, 0xff), random(0, 0xffff))
  else
    address = string.format("%d.%d.%d.%d",
      random(1, 223), random(0, 255), random(0, 255), random(0, 255))
  end
  return wrk.format("GET", "/lookup/" .. address)
end

function response(status)
  if status == 200 then
    found = found + 1
  elseif status == 404 then
    missing = missing + 1
  else
    wrong = wrong + 1
  end
end

function done(summary, latency)
  local found, missing, wrong = 0, 0, 0
  for _, thread in ipairs(threads) do
    found = found + thread:get("found")
    missing = missing + thread:get("missing")
    wrong = wrong + thread:get("wrong")
  end
  local errors = summary.errors
  print(string.format("answers: %d found, %d without a network, %d wrong", found, missing, wrong))
  print(string.format("errors: %d connect, %d read, %d write, %d timeout",
    errors.connect, errors.read, errors.write, errors.timeout))
  print(string.format("latency in us: p50 %d, p99 %d, p99.9 %d, max %d",
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9), latency.max))
end
