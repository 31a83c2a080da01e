local socket = require("socket")
local client = require("spec.client")
local peers = require("websocket.peer")

local BIG = ("0123456789abc"):rep(2000000) -- more than the system's buffers take at once

local listening, far, peer, now, on_clock

before_each(function()
  now, on_clock = 1000, function() end
  listening = assert(socket.bind("127.0.0.1", 0))
  local host, port = listening:getsockname()
  far = assert(socket.connect(host, port))
  far:settimeout(0)
  peer = peers.new(assert(listening:accept()), {
    token = client.TOKEN,
    subprotocol = client.SUBPROTOCOL,
  }, function()
    on_clock() -- asked for the time left, after each stop
    return now
  end)
end)

after_each(function()
  listening:close()
  far:close()
  peer:close()
end)

--- All bytes that have come, and the error that says why there are no more.
local function receive_all()
  local _, err, bytes = far:receive(100000000)
  return bytes, err
end

describe("a peer", function()
  it("does not wait for more to send (TCP_NODELAY)", function()
    assert.is_true(peer.socket:getoption("tcp-nodelay"))
  end)

  it("reads what is there, and does not wait for more", function()
    assert.are.same({ "", false }, { peer:read() })
    far:send("abc")
    assert.are.same({ "abc", false }, { peer:read() })
  end)

  it("reads the last bytes together with the end", function()
    far:send("abc")
    far:close()
    assert.are.same({ "abc", true }, { peer:read() })
    assert.are.same({ "", true }, { peer:read() })
  end)

  it("sends from the first byte to the last", function()
    assert.is_true(peer:transmit("0123456789", 3, 5))
    assert.are.equal("234", (receive_all()))
  end)

  it("goes on after the byte where a full buffer stopped it", function()
    local bytes = ""
    on_clock = function() bytes = bytes .. receive_all() end
    assert.is_true(peer:transmit(BIG, 2, #BIG, now + 10))
    peer:close()
    local rest, err
    repeat
      rest, err = receive_all()
      bytes = bytes .. rest
    until err == "closed"
    assert.is_true(BIG:sub(2) == bytes)
  end)

  it("gives up at the deadline", function()
    on_clock = function() now = now + 10 end
    assert.are.same({ nil, "timeout" }, { peer:transmit(BIG, 1, #BIG, now + 10) })
  end)

  it("does not wait without a deadline", function()
    assert.are.same({ nil, "timeout" }, { peer:transmit(BIG, 1, #BIG) })
  end)

  it("says so where the client is gone", function()
    far:close()
    peer:transmit("x", 1, 1)
    local sent, err = peer:transmit("x", 1, 1)
    assert.are.same({ nil, "closed" }, { sent, err })
  end)

  it("sends what its connection has collected, once", function()
    peer.connection:refuse(408, "Too slow.")
    assert.is_true(peer:flush(10))
    assert.is_not_nil(receive_all():find("^HTTP/1%.1 408 "))
    assert.is_true(peer:flush(10))
    assert.are.equal("", (receive_all()))
  end)

  it("still reads after it has ended its own side", function()
    peer:shutdown()
    assert.are.same({ "", "closed" }, { receive_all() })
    far:send("late")
    assert.are.same({ "late", false }, { peer:read() })
  end)
end)
