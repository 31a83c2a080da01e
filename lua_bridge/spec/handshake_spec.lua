local client = require("spec.client")
local handshake = require("websocket.handshake")

local function shake(request, settings)
  return handshake.new(settings or {
    token = client.TOKEN,
    subprotocol = client.SUBPROTOCOL,
  }):receive(request)
end

local function status(changes, line)
  return shake(client.request(changes, line)).status
end

describe("handshake.accept", function()
  it("answers the key of RFC 6455, section 1.3", function()
    assert.are.equal(client.ACCEPT, handshake.accept(client.KEY))
  end)
end)

describe("the opening handshake (RFC 6455, section 4.2)", function()
  it("accepts a right request, with the answer of section 4.2.2", function()
    local result = shake(client.request())
    assert.is_true(result.accepted)
    assert.are.equal("", result.rest)
    assert.are.equal("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
      .. "Connection: Upgrade\r\nSec-WebSocket-Accept: " .. client.ACCEPT
      .. "\r\nSec-WebSocket-Protocol: sb3-mario.v1\r\n\r\n", result.response)
  end)

  it("accepts a request that comes byte by byte, with its last byte", function()
    local request = client.request()
    local shaking = handshake.new({ token = client.TOKEN, subprotocol = client.SUBPROTOCOL })
    for i = 1, #request - 1 do
      assert.is_nil(shaking:receive(request:sub(i, i)))
    end
    assert.is_true(shaking:receive(request:sub(-1)).accepted)
  end)

  it("returns what follows the request", function()
    local rest = ("\129\128"):rep(handshake.MAX_HEAD_BYTES) -- which is not counted as head
    assert.are.equal(rest, shake(client.request() .. rest).rest)
  end)

  it("ignores the case of header names and of tokens (section 4.2.1)", function()
    local request = client.request({ Upgrade = "WebSocket", Connection = "keep-alive , UPGRADE" })
    local lower = request:gsub("([A-Za-z-]+): ", function(name) return name:lower() .. ":\t " end)
    assert.are.equal(101, shake(request).status)
    assert.are.equal(101, shake(lower).status)
  end)

  it("ignores the case of the Bearer scheme (RFC 9110, section 11.1)", function()
    assert.are.equal(101, status({ Authorization = "bearer " .. client.TOKEN }))
  end)

  it("accepts the whole URL as the target (RFC 9112, section 3.2.2)", function()
    assert.are.equal(101, status(nil, "GET http://127.0.0.1:1234/ HTTP/1.1"))
  end)

  it("finds the subprotocol among others, and in a repeated header (section 11.3.4)", function()
    assert.are.equal(101, status({ ["Sec-WebSocket-Protocol"] = "other, sb3-mario.v1" }))
    local repeated = client.request():gsub("Sec%-WebSocket%-Protocol",
      "Sec-WebSocket-Protocol: other\r\n%0")
    assert.are.equal(101, shake(repeated).status)
  end)

  it("ignores extensions that are offered (section 9.1)", function()
    local result = shake(client.request({ ["Sec-WebSocket-Extensions"] = "permessage-deflate" }))
    assert.are.equal(101, result.status)
    assert.is_nil(result.response:lower():find("extensions", 1, true))
  end)

  local refusals = {
    { "no Host", 400, { Host = false } },
    { "an empty Host", 400, { Host = "" } },
    { "two Hosts", 400, { Host = "a\r\nHost: b" } },
    { "no Upgrade", 426, { Upgrade = false } },
    { "another Upgrade", 426, { Upgrade = "h2c" } },
    { "no Connection", 426, { Connection = false } },
    { "a Connection without upgrade", 426, { Connection = "keep-alive, upgraded" } },
    { "no version", 426, { ["Sec-WebSocket-Version"] = false } },
    { "version 8", 426, { ["Sec-WebSocket-Version"] = "8" } },
    { "two versions", 426, { ["Sec-WebSocket-Version"] = "13, 13" } },
    { "no key", 400, { ["Sec-WebSocket-Key"] = false } },
    { "a key of 15 bytes", 400, { ["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25j" } },
    { "a key of 17 bytes", 400, { ["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQA=" } },
    { "a key that is not base64", 400, { ["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25j!Q==" } },
    { "two keys", 400, { ["Sec-WebSocket-Key"] = client.KEY .. ", " .. client.KEY } },
    { "no token", 401, { Authorization = false } },
    { "an empty token", 401, { Authorization = "Bearer " } },
    { "a wrong token", 401, { Authorization = "Bearer 0123456789abcdeF" } },
    { "the token's beginning", 401, { Authorization = "Bearer 0123456789abcde" } },
    { "more than the token", 401, { Authorization = "Bearer 0123456789abcdef0" } },
    { "the token in another scheme", 401, { Authorization = "Basic " .. client.TOKEN } },
    { "an Origin", 403, { Origin = "http://localhost" } },
    { "the Origin of a sandboxed page", 403, { Origin = "null" } },
    { "no subprotocol", 400, { ["Sec-WebSocket-Protocol"] = false } },
    { "another subprotocol", 400, { ["Sec-WebSocket-Protocol"] = "sb3-mario.v2" } },
    { "the subprotocol in capitals", 400, { ["Sec-WebSocket-Protocol"] = "SB3-MARIO.V1" } },
    { "a body", 400, { ["Content-Length"] = "5" } },
    { "a chunked body", 400, { ["Transfer-Encoding"] = "chunked" } },
    { "POST", 405, nil, "POST / HTTP/1.1" },
    { "HEAD", 405, nil, "HEAD / HTTP/1.1" },
    { "HTTP/1.0", 400, nil, "GET / HTTP/1.0" },
    { "HTTP/2", 400, nil, "GET / HTTP/2.0" },
    { "no target", 400, nil, "GET HTTP/1.1" },
    { "a target that is no path", 400, nil, "GET somewhere HTTP/1.1" },
    { "two spaces in the request line", 400, nil, "GET  / HTTP/1.1" },
    { "a space before a header's colon", 400, { ["X "] = "1" } },
    { "a header without a name", 400, { [""] = "1" } },
    { "a folded header", 400, { X = "1\r\n 2" } },
    { "a line feed alone", 400, { X = "1\nY: 2" } },
    { "a carriage return alone", 400, { X = "1\rY: 2" } },
    { "a zero byte", 400, { X = "a\0b" } },
    { "a line without a colon", 400, { X = "1\r\nnonsense" } },
  }
  for _, case in ipairs(refusals) do
    it(("refuses %s with %d"):format(case[1], case[2]), function()
      local result = shake(client.request(case[3], case[4]))
      assert.is_false(result.accepted)
      assert.are.equal(case[2], result.status)
    end)
  end

  it("compares the token in the same number of steps wherever it differs", function()
    local function steps(token)
      local request = client.request({ Authorization = "Bearer " .. token })
      local count = 0
      debug.sethook(function() count = count + 1 end, "", 1)
      local result = shake(request)
      debug.sethook()
      assert.are.equal(401, result.status)
      return count
    end
    local last, first, all = "0123456789abcdeX", "X123456789abcdef", ("X"):rep(16)
    assert.are.equal(steps(last), steps(first))
    assert.are.equal(steps(last), steps(all))
    assert.is_true(steps(last) > 16)
  end)

  it("refuses what is not HTTP with 400", function()
    assert.are.equal(400, shake("\22\3\1 hello TLS\r\n\r\n").status)
    assert.are.equal(400, shake("\r\n\r\n").status)
  end)

  it("gives refusals as whole HTTP responses of one sentence", function()
    local response = shake(client.request({ Authorization = false })).response
    local head, body = response:match("^(.-\r\n)\r\n(.*)$")
    assert.is_not_nil(head:find("^HTTP/1%.1 401 Unauthorized\r\n"))
    assert.is_not_nil(head:find("\r\nConnection: close\r\n", 1, true))
    assert.is_not_nil(head:find("\r\nWWW-Authenticate: Bearer\r\n", 1, true))
    assert.is_not_nil(head:find("\r\nContent-Length: " .. #body .. "\r\n", 1, true))
    assert.is_not_nil(body:find("^[^\n]+%.\n$"))
  end)

  it("names the version it speaks (section 4.4) and the upgrade (RFC 9110, section 15.5.22)",
    function()
      local response = shake(client.request({ ["Sec-WebSocket-Version"] = "8" })).response
      assert.is_not_nil(response:find("\r\nSec-WebSocket-Version: 13\r\n", 1, true))
      assert.is_not_nil(response:find("\r\nUpgrade: websocket\r\n", 1, true))
      assert.is_not_nil(response:find("\r\nConnection: Upgrade, close\r\n", 1, true))
    end)

  it("names the method it serves (RFC 9110, section 15.5.6)", function()
    local response = shake(client.request(nil, "POST / HTTP/1.1")).response
    assert.is_not_nil(response:find("\r\nAllow: GET\r\n", 1, true))
  end)

  it("names the subprotocol it speaks, and never the token", function()
    local response = shake(client.request({ ["Sec-WebSocket-Protocol"] = "v9" })).response
    assert.is_not_nil(response:find("sb3-mario.v1", 1, true))
    response = shake(client.request({ Authorization = false })).response
    assert.is_nil(response:find(client.TOKEN, 1, true))
  end)

  it("refuses a head that passes 8 KiB before it ends", function()
    local shaking = handshake.new({ token = client.TOKEN, subprotocol = client.SUBPROTOCOL })
    local count = 0
    local result
    shaking:receive("GET / HTTP/1.1\r\n")
    repeat
      result = shaking:receive(("X: %s\r\n"):format(("y"):rep(95)))
      count = count + 1
    until result or count > 1000
    assert.are.equal(431, result.status)
    assert.is_true(count * 100 <= handshake.MAX_HEAD_BYTES + 100)
  end)

  it("accepts 64 headers and refuses 65", function()
    local function with(extra)
      return status({ ["X"] = "1" .. ("\r\nX: 1"):rep(extra) })
    end
    assert.are.equal(101, with(64 - 7 - 1))
    assert.are.equal(431, with(64 - 7))
  end)

  it("asks for admittance last, and refuses with 503 and the reason", function()
    local asked = 0
    local settings = {
      token = client.TOKEN,
      subprotocol = client.SUBPROTOCOL,
      admit = function()
        asked = asked + 1
        return false, "Full."
      end,
    }
    assert.are.equal(401, shake(client.request({ Authorization = false }), settings).status)
    assert.are.equal(0, asked)
    local result = shake(client.request(), settings)
    assert.are.equal(503, result.status)
    assert.is_not_nil(result.response:find("\r\n\r\nFull.\n$"))
  end)
end)
