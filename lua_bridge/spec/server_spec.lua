local socket = require("socket")
local client = require("spec.client")
local server = require("websocket.server")

local LONG = 5 -- seconds; only a failing spec waits so long

local running, now, sockets

local function options(changes)
  local all = {
    token = client.TOKEN,
    subprotocol = client.SUBPROTOCOL,
    clock = function() return now end,
  }
  for name, value in pairs(changes or {}) do
    all[name] = value
  end
  return all
end

local function start(changes)
  running = assert(server.listen(options(changes)))
  return running
end

local function connect()
  local tcp = assert(socket.connect("127.0.0.1", running:port()))
  tcp:settimeout(0)
  sockets[#sockets + 1] = tcp
  return tcp
end

--- Lets the server run until `done` returns something, which is returned too.
local function run_until(done, what)
  local limit = socket.gettime() + LONG
  while socket.gettime() < limit do
    local result = done()
    if result then
      return result
    end
  end
  error("waited in vain for " .. what, 2)
end

--- The server's next event.
local function next_event()
  return run_until(function() return running:poll(0.01) end, "an event")
end

--- Reads from a socket, while the server runs, until a number of bytes is there.
local function read(tcp, count)
  local bytes = ""
  return run_until(function()
    assert(not running:poll(0.001), "an event while bytes were awaited")
    local data, _, partial = tcp:receive(count - #bytes)
    bytes = bytes .. (data or partial)
    return #bytes == count and bytes
  end, count .. " bytes")
end

--- Reads until the server ends its side.
-- @return what it sent, and the error that ended it: "closed" is an orderly end
local function read_to_end(tcp)
  local bytes, reason = "", nil
  run_until(function()
    running:poll(0.001)
    local data, err, partial = tcp:receive(4096)
    bytes = bytes .. (data or partial)
    reason = err
    return err and err ~= "timeout"
  end, "the end of the connection")
  return bytes, reason
end

local function read_response(tcp)
  local response = ""
  return run_until(function()
    local data = tcp:receive(1) -- and no more, for frames may follow
    if not data then
      running:poll(0.001)
    end
    response = response .. (data or "")
    return response:find("\r\n\r\n", 1, true) and response
  end, "a response")
end

--- A client whose connection is open, its event taken.
local function open()
  local tcp = connect()
  tcp:send(client.request())
  assert.are.same({ type = "open" }, next_event())
  assert.is_not_nil(read_response(tcp):find("^HTTP/1%.1 101 "))
  return tcp
end

--- What the server sends to close, without the reason.
local function closing(code)
  return "^\136." .. client.big_endian(code, 2):gsub(".", "%%%0")
end

before_each(function()
  now, sockets, running = 1000, {}, nil
end)

after_each(function()
  for _, tcp in ipairs(sockets) do
    tcp:close()
  end
  if running then
    running:close()
  end
end)

describe("server.listen", function()
  it("takes a free port for 0, and says which", function()
    local port = start():port()
    assert.is_true(port > 0 and port < 65536)
  end)

  it("says why it cannot listen", function()
    local port = start():port()
    local second, err = server.listen(options({ port = port }))
    assert.is_nil(second)
    assert.is_not_nil(err:find("port " .. port, 1, true))
  end)

  it("refuses settings that cannot be right", function()
    for _, wrong in ipairs({ { token = "" }, { token = "two words" }, { subprotocol = "a, b" },
      { host = "0.0.0.0" } }) do
      local listening, err = server.listen(options(wrong))
      assert.is_nil(listening)
      assert.are.equal("string", type(err))
    end
  end)
end)

describe("server:poll", function()
  it("returns nil where nothing happens", function()
    start()
    assert.is_nil(running:poll(0))
    assert.is_false(running:has_client())
  end)

  it("returns a client's events in their order", function()
    start()
    local tcp = open()
    assert.is_true(running:has_client())
    tcp:send(client.frame(1, "one") .. client.frame(9, "p") .. client.frame(2, "two")
      .. client.frame(10, "three"))
    assert.are.same({ type = "text", data = "one" }, next_event())
    assert.are.same({ type = "binary", data = "two" }, next_event())
    assert.are.same({ type = "pong", data = "three" }, next_event())
    assert.are.equal("\138\1p", read(tcp, 3))
  end)

  it("does not wait where the next message has come already", function()
    start()
    local tcp = open()
    tcp:send(client.frame(1, "one") .. client.frame(1, "two"))
    assert.are.equal("one", next_event().data)
    local before = socket.gettime()
    assert.are.equal("two", running:poll(LONG).data)
    assert.is_true(socket.gettime() - before < LONG / 2)
  end)

  it("lets a message be answered before an error behind it is seen", function()
    start()
    local tcp = open()
    tcp:send(client.frame(1, "good") .. client.frame(3, "bad"))
    assert.are.equal("good", next_event().data)
    assert.is_true(running:send_text("answer"))
    assert.are.equal(1002, next_event().code)
    assert.is_not_nil(read_to_end(tcp):find("^\129\6answer\136"))
  end)

  it("gives all messages of a client that has ended its side, and it can be answered", function()
    start()
    local tcp = open()
    tcp:send(client.frame(1, "one") .. client.frame(1, "two"))
    tcp:shutdown("send")
    for _, data in ipairs({ "one", "two" }) do
      assert.are.same({ type = "text", data = data }, next_event())
      assert.is_true(running:send_text(data))
    end
    assert.are.equal(1006, next_event().code)
    assert.are.equal("\129\3one\129\3two", (read_to_end(tcp)))
  end)

  it("lets a client in that has ended its side before the handshake's answer", function()
    start()
    local tcp = connect()
    tcp:send(client.request() .. client.frame(1, "one") .. client.frame(1, "two"))
    tcp:shutdown("send")
    local events = {}
    for i = 1, 4 do
      events[i] = next_event().type
    end
    assert.are.same({ "open", "text", "text", "closed" }, events)
    assert.is_false(running:has_client())
  end)

  it("joins a message that comes in pieces", function()
    start()
    local tcp = open()
    local bytes = client.frame(1, ("x"):rep(50000))
    for i = 1, #bytes, 7000 do
      tcp:send(bytes:sub(i, i + 6999))
      if i < 40000 then
        assert.is_nil(running:poll(0.01))
      end
    end
    assert.are.equal(50000, #next_event().data)
  end)

  it("answers a close, ends the connection, and serves the next client", function()
    start()
    local tcp = open()
    tcp:send(client.close_frame(1000, "done"))
    assert.are.same({ type = "closed", code = 1000, reason = "done" }, next_event())
    assert.is_false(running:has_client())
    local bytes, reason = read_to_end(tcp)
    assert.are.equal("\136\2\3\232", bytes)
    assert.are.equal("closed", reason)
    open()
  end)

  it("notices a client that is gone, and serves the next", function()
    start()
    open():close()
    assert.are.equal(1006, next_event().code)
    assert.is_false(running:has_client())
    open()
  end)

  it("closes a client that errs with the code, and serves the next", function()
    start({ max_message = 1000 })
    local errors = {
      { 1002, client.frame(1, "x", { mask = false }) },
      { 1007, client.frame(1, "\255") },
      { 1009, client.frame(1, ("x"):rep(1001)) },
    }
    for _, case in ipairs(errors) do
      local tcp = open()
      tcp:send(case[2])
      assert.are.equal(case[1], next_event().code)
      assert.is_not_nil(read_to_end(tcp):find(closing(case[1])))
    end
    open()
  end)

  it("lets a client read its close frame, also where it goes on sending", function()
    start()
    local tcp = open()
    tcp:send(client.frame(3, "") .. ("x"):rep(100000))
    assert.are.equal(1002, next_event().code)
    local bytes, reason = read_to_end(tcp)
    assert.is_not_nil(bytes:find(closing(1002)))
    assert.are.equal("closed", reason) -- and not a reset
  end)

  it("does not wait for ever for a client to end its side", function()
    start({ close_timeout = 1 })
    local tcp = open()
    tcp:send(client.frame(3, ""))
    next_event()
    running:poll(0)
    now = now + 1
    running:poll(0)
    local reset = run_until(function()
      local _, err = tcp:send("x")
      return err
    end, "the socket to be closed")
    assert.are.equal("closed", reset)
  end)
end)

describe("a handshake", function()
  it("without the token ends with 401, and the next client is served", function()
    start()
    local tcp = connect()
    tcp:send(client.request({ Authorization = "Bearer wrong" }))
    assert.is_not_nil(read_to_end(tcp):find("^HTTP/1%.1 401 .*%.\n$"))
    assert.is_false(running:has_client())
    open()
  end)

  it("is answered also where the client has ended its side", function()
    start()
    local tcp = connect()
    tcp:send("nonsense\r\n\r\n")
    tcp:shutdown("send")
    assert.is_not_nil(read_to_end(tcp):find("^HTTP/1%.1 400 "))
  end)

  it("of a second client ends with 503, and the first is not disturbed", function()
    start()
    local first, second = open(), connect()
    second:send(client.request())
    assert.is_not_nil(read_to_end(second):find("^HTTP/1%.1 503 .*Another client is connected"))
    assert.is_true(running:has_client())
    first:send(client.frame(1, "still here"))
    assert.are.same({ type = "text", data = "still here" }, next_event())
  end)

  it("that is slow keeps nobody waiting", function()
    start()
    local slow = connect()
    slow:send("GET / HTTP/1.1\r\n")
    running:poll(0.01)
    local tcp = open()
    tcp:send(client.frame(1, "x"))
    assert.are.equal("x", next_event().data)
  end)

  it("that takes too long ends with 408", function()
    start({ handshake_timeout = 5 })
    local slow = connect()
    slow:send("GET / HTTP/1.1\r\n")
    for _ = 1, 10 do
      running:poll(0)
    end
    now = now + 4.9
    running:poll(0)
    assert.are.equal("timeout", select(2, slow:receive(1)))
    now = now + 0.1
    assert.is_not_nil(read_to_end(slow):find("^HTTP/1%.1 408 .*5 seconds"))
  end)

  it("ends the oldest where more than 8 are under way", function()
    start()
    local waiting = {}
    for i = 1, 9 do
      waiting[i] = connect()
      for _ = 1, 3 do
        running:poll(0.001)
      end
    end
    assert.are.same({ "", "closed" }, { read_to_end(waiting[1]) })
    assert.are.equal("timeout", select(2, waiting[2]:receive(1)))
    waiting[9]:send(client.request())
    assert.are.same({ type = "open" }, next_event())
  end)
end)

describe("events of a client that has gone", function()
  it("are all returned before the next client is let in", function()
    start()
    local first, second = open(), connect()
    assert.is_nil(running:poll(0.01)) -- accepts the second
    first:send(client.frame(1, "last words") .. client.close_frame(1000))
    first:shutdown("send")
    second:send(client.request())
    assert.are.same({ type = "text", data = "last words" }, next_event())
    assert.is_true(running:send_text("an answer")) -- to the first, and not to the second
    assert.are.equal("closed", next_event().type)
    assert.are.same({ type = "open" }, next_event())
    assert.are.same({ "\129\9an answer\136\2\3\232", "closed" }, { read_to_end(first) })
    assert.is_not_nil(read_response(second):find("^HTTP/1%.1 101 "))
  end)

  it("are all returned also where it came and went at once", function()
    start()
    local patient, hasty = connect(), connect()
    for _ = 1, 4 do
      running:poll(0.01)
    end
    hasty:send(client.request() .. client.frame(1, "hi") .. client.close_frame(1000))
    patient:send(client.request())
    local kinds = {}
    repeat
      local event = next_event()
      kinds[#kinds + 1] = event.type
    until event.type == "closed"
    assert.are.same({ "open", "text", "closed" }, { unpack(kinds, #kinds - 2) })
  end)
end)

describe("server:send_text and send_binary", function()
  it("send one frame each", function()
    start()
    local tcp = open()
    assert.is_true(running:send_text("hello"))
    assert.is_true(running:send_binary({ "ab", { "0123456789", 4, 6 }, "\0" }))
    assert.is_true(running:send_binary({}))
    assert.is_true(running:send_binary({ { "ab", 1, 0 }, "", { "ab", 1, 2 } }))
    assert.are.equal("\129\5hello\130\6ab345\0\130\0\130\2ab", read(tcp, 7 + 8 + 2 + 4))
  end)

  it("send a picture from an offset, as one frame", function()
    start()
    local tcp = open()
    local picture = ("0123456789"):rep(24578):sub(1, 245771)
    assert.is_true(running:send_binary({ "header", { picture, 12, #picture } }))
    local length = 6 + 245760
    local bytes = read(tcp, 10 + length)
    assert.are.equal("\130\127" .. client.big_endian(length, 8), bytes:sub(1, 10))
    assert.is_true("header" .. picture:sub(12) == bytes:sub(11))
  end)

  it("refuse bytes that are not there, and send nothing", function()
    start()
    local tcp = open()
    for _, part in ipairs({ { "abc", 0, 2 }, { "abc", 2, 4 }, { "abc", 3, 1 } }) do
      local sent, err = running:send_binary({ "x", part })
      assert.is_nil(sent)
      assert.is_not_nil(err:find("of 3", 1, true))
    end
    running:send_text("y")
    assert.are.equal("\129\1y", read(tcp, 3))
  end)

  it("say so where no client is connected", function()
    start()
    for _, send in ipairs({ "send_text", "ping" }) do
      local sent, err = running[send](running, "x")
      assert.is_nil(sent)
      assert.is_not_nil(err:find("no client is connected", 1, true))
    end
  end)

  it("drop a client that does not read, and serve the next", function()
    start({ send_timeout = 0.05, clock = socket.gettime })
    open()
    local sent, err = nil, nil
    for _ = 1, 20 do
      sent, err = running:send_binary({ ("x"):rep(1000000) })
      if not sent then
        break
      end
    end
    assert.is_nil(sent)
    assert.is_not_nil(err:find("timeout", 1, true))
    assert.is_false(running:has_client())
    assert.are.equal(1006, next_event().code)
    open()
  end)

  it("drop a client that is gone", function()
    start()
    open():close()
    local err = run_until(function() return select(2, running:send_text("x")) end, "an error")
    assert.are.equal("string", type(err))
    assert.is_false(running:has_client())
    assert.are.equal("closed", next_event().type)
  end)
end)

describe("server:ping", function()
  it("sends a ping, whose pong is an event", function()
    start()
    local tcp = open()
    assert.is_true(running:ping("beat"))
    assert.are.equal("\137\4beat", read(tcp, 6))
    tcp:send(client.frame(10, "beat"))
    assert.are.same({ type = "pong", data = "beat" }, next_event())
  end)
end)

describe("a heartbeat", function()
  local PING, offset = "\137\0", 0

  local function beating()
    offset = 0
    start({ ping_interval = 0.05, ping_timeout = 0.2, clock = function()
      return socket.gettime() + offset
    end })
    return open()
  end

  --- Lets the server run for some seconds, and calls `each` every hundredth of one.
  -- @return the client's first event, if there is one
  local function run_for(seconds, each)
    local limit = socket.gettime() + seconds
    while socket.gettime() < limit do
      local event = running:poll(0.01)
      if event then
        return event
      end
      each()
    end
  end

  local function nothing() end

  it("pings a silent client, drops it with a reason, and serves the next", function()
    local tcp = beating()
    local event = run_for(LONG, nothing)
    assert.are.same({ type = "closed", code = 1011,
      reason = "no sign of life from the client for 0.2 seconds" }, event)
    assert.is_false(running:has_client())
    local bytes = read_to_end(tcp)
    assert.are.equal(PING:rep(3), bytes:sub(1, 6))
    assert.is_not_nil(bytes:sub(7):find(closing(1011)))
    open()
  end)

  it("does not drop a client that answers the pings", function()
    local tcp = beating()
    local pings = 0
    local limit = socket.gettime() + 1
    while socket.gettime() < limit do
      local event = running:poll(0.01)
      assert.is_true(event == nil or event.type == "pong")
      if tcp:receive(2) == PING then
        pings = pings + 1
        tcp:send(client.frame(10, ""))
      end
    end
    assert.is_true(pings > 5)
    assert.is_true(running:has_client())
  end)

  it("does not ping a client that asks for things", function()
    local tcp = beating()
    for _ = 1, 40 do
      tcp:send(client.frame(1, "step"))
      assert.are.equal("text", next_event().type)
      socket.sleep(0.01)
    end
    assert.are.equal("timeout", select(2, tcp:receive(1)))
  end)

  it("drops a client that sends a message byte by byte", function()
    local tcp = beating()
    local message, sent, due = client.frame(1, ("x"):rep(1000)), 0, 0
    local event = run_for(LONG, function()
      if socket.gettime() >= due then
        sent, due = sent + 1, socket.gettime() + 0.01
        tcp:send(message:sub(sent, sent))
      end
    end)
    assert.are.equal(1011, event.code)
    assert.is_true(sent > 3)
  end)

  it("does not hold a clock that was set against the client", function()
    beating()
    for _ = 1, 5 do
      offset = offset + 1000
      assert.is_nil(running:poll(0))
      offset = offset - 3000
      assert.is_nil(running:poll(0))
    end
    assert.is_true(running:has_client())
  end)

  it("needs a timeout above its interval", function()
    local listening, err = server.listen(options({ ping_interval = 5, ping_timeout = 5 }))
    assert.is_nil(listening)
    assert.is_not_nil(err:find("ping_timeout", 1, true))
  end)
end)

describe("server:disconnect", function()
  it("sends a close frame, waits for the client's, and serves the next", function()
    start()
    local tcp = open()
    running:disconnect(1000, "bye")
    assert.is_false(running:has_client())
    assert.are.same({ type = "closed", code = 1000, reason = "bye" }, next_event())
    assert.are.equal("\136\5\3\232bye", read(tcp, 7))
    tcp:send(client.close_frame(1000))
    assert.are.same({ "", "closed" }, { read_to_end(tcp) })
    open()
  end)

  it("heeds a close frame of the client's that had come already", function()
    start()
    local tcp = open()
    tcp:send(client.frame(1, "bye") .. client.frame(1, "too late") .. client.close_frame(1000))
    assert.are.equal("bye", next_event().data)
    running:disconnect(1001)
    assert.are.same({ type = "closed", code = 1001, reason = "" }, next_event())
    assert.are.same({ "\136\2\3\233", "closed" }, { read_to_end(tcp) })
  end)

  it("does nothing where no client is connected", function()
    start()
    running:disconnect(1000, "bye")
    assert.is_nil(running:poll(0))
  end)
end)

describe("server:close", function()
  it("tells the client that it goes away, and listens no more", function()
    start({ close_timeout = 0.1 }) -- this client, in the same thread, lets it pass
    local port, tcp = running:port(), open()
    running:close()
    assert.is_not_nil(read_to_end(tcp):find(closing(1001)))
    assert.is_nil((socket.connect("127.0.0.1", port)))
    assert.is_nil(running:port())
  end)

  it("leaves the port free to be taken again at once", function()
    start({ close_timeout = 0.1 })
    local port = running:port()
    open()
    running:close()
    start({ port = port })
    open()
  end)

  it("may be called twice", function()
    start()
    running:close()
    running:close()
  end)
end)
