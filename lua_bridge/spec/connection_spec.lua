local client = require("spec.client")
local connection = require("websocket.connection")

local frame, close_frame = client.frame, client.close_frame

local function new(max_message)
  return connection.new({
    token = client.TOKEN,
    subprotocol = client.SUBPROTOCOL,
    max_message = max_message,
  })
end

local function opened(max_message)
  local conn = new(max_message)
  conn:receive(client.request())
  conn:take_output()
  return conn
end

--- Feeds bytes, and goes on until nothing is left of them.
local function receive_all(conn, bytes)
  local events = conn:receive(bytes)
  local count
  repeat
    count = #events
    conn:receive("", events)
  until #events == count
  return events
end

--- What the server sends to close: one unmasked frame.
local function closing(code, reason)
  return "\136" .. string.char(2 + #(reason or "")) .. client.big_endian(code, 2) .. (reason or "")
end

--- Feeds bytes to an open connection, and expects it to fail with this code.
local function assert_fails(code, bytes, max_message)
  local conn = opened(max_message)
  local events = receive_all(conn, bytes)
  local last = events[#events]
  assert.are.equal("closed", last and last.type)
  assert.are.equal(code, last.code)
  assert.are.equal("closed", conn.state)
  assert.are.equal(closing(code, last.reason), conn:take_output())
end

describe("a connection in its handshake", function()
  it("opens, and answers with 101", function()
    local conn = new()
    assert.are.equal("handshake", conn.state)
    assert.are.same({ { type = "open" } }, conn:receive(client.request()))
    assert.are.equal("open", conn.state)
    assert.is_not_nil(conn:take_output():find("^HTTP/1%.1 101 "))
    assert.are.equal("", conn:take_output())
  end)

  it("is closed by a refusal, without events", function()
    local conn = new()
    assert.are.same({}, conn:receive(client.request({ Origin = "null" })))
    assert.are.equal("closed", conn.state)
    assert.is_not_nil(conn:take_output():find("^HTTP/1%.1 403 "))
    assert.are.same({}, conn:receive(client.request()))
    assert.are.equal("", conn:take_output())
  end)

  it("reads frames that come with the request", function()
    local events = new():receive(client.request() .. frame(1, "early"))
    assert.are.same({ { type = "open" }, { type = "text", data = "early" } }, events)
  end)

  it("can be refused from here", function()
    local conn = new()
    conn:refuse(408, "Too slow.")
    assert.are.equal("closed", conn.state)
    assert.is_not_nil(conn:take_output():find("^HTTP/1%.1 408 .*\r\n\r\nToo slow%.\n$"))
  end)

  it("ends without events when the client goes", function()
    local conn = new()
    assert.are.same({}, conn:receive_eof())
    assert.are.equal("closed", conn.state)
  end)
end)

describe("messages (RFC 6455, section 5.6)", function()
  it("are text or binary", function()
    local conn = opened()
    assert.are.same({
      { type = "text", data = "\195\164" },
      { type = "binary", data = "\195\0\255" },
      { type = "text", data = "" },
    }, receive_all(conn, frame(1, "\195\164") .. frame(2, "\195\0\255") .. frame(1, "")))
    assert.are.equal("", conn:take_output())
  end)

  it("are given one at a time, and what follows is not looked at until then", function()
    local conn = opened()
    assert.are.same({ { type = "text", data = "one" } },
      conn:receive(frame(1, "one") .. frame(9, "p") .. frame(2, "two") .. frame(3, "")))
    assert.are.equal("", conn:take_output())
    assert.are.same({ { type = "ping", data = "p" }, { type = "binary", data = "two" } },
      conn:receive(""))
    assert.are.equal("\138\1p", conn:take_output())
    assert.are.equal("open", conn.state)
    assert.are.equal(1002, conn:receive("")[1].code)
    assert.are.same({}, conn:receive(""))
  end)

  it("arrive byte by byte, handshake included", function()
    local conn, events = new(), {}
    local bytes = client.request() .. frame(1, "one") .. frame(9, "p") .. frame(2, ("x"):rep(300))
      .. close_frame(1000, "done")
    for i = 1, #bytes do
      conn:receive(bytes:sub(i, i), events)
    end
    assert.are.same({
      { type = "open" },
      { type = "text", data = "one" },
      { type = "ping", data = "p" },
      { type = "binary", data = ("x"):rep(300) },
      { type = "closed", code = 1000, reason = "done" },
    }, events)
  end)

  it("may be fragmented, with control frames in between (section 5.4)", function()
    local conn = opened()
    local events = receive_all(conn, frame(1, "a", { fin = false }) .. frame(9, "1")
      .. frame(0, "", { fin = false }) .. frame(10, "2") .. frame(0, "b", { fin = false })
      .. frame(0, "c") .. frame(2, "d"))
    assert.are.same({
      { type = "ping", data = "1" },
      { type = "pong", data = "2" },
      { type = "text", data = "abc" },
      { type = "binary", data = "d" },
    }, events)
    assert.are.equal("\138\1" .. "1", conn:take_output())
  end)

  it("may begin and end with empty fragments", function()
    local events = opened():receive(frame(2, "", { fin = false }) .. frame(0, ""))
    assert.are.same({ { type = "binary", data = "" } }, events)
  end)

  it("need no memory for empty fragments, of which there may be any number", function()
    local conn = opened()
    conn:receive(frame(1, "", { fin = false }) .. frame(0, "", { fin = false }):rep(1000))
    assert.are.equal(0, #conn.fragments)
  end)

  it("fail with 1002 where nothing is to be continued (section 5.4)", function()
    assert_fails(1002, frame(0, "x"))
    assert_fails(1002, frame(1, "a", { fin = false }) .. frame(0, "b") .. frame(0, "c"))
  end)

  it("fail with 1002 where one begins inside another (section 5.4)", function()
    assert_fails(1002, frame(1, "a", { fin = false }) .. frame(1, "b"))
    assert_fails(1002, frame(2, "a", { fin = false }) .. frame(1, "b", { fin = false }))
  end)

  it("fail with 1002 without a mask (section 5.1)", function()
    assert_fails(1002, frame(1, "a", { mask = false }))
  end)
end)

describe("text (RFC 6455, section 8.1)", function()
  it("may be cut inside a character", function()
    local events = opened():receive(frame(1, "\240\159", { fin = false })
      .. frame(0, "\141", { fin = false }) .. frame(0, "\132!"))
    assert.are.same({ { type = "text", data = "\240\159\141\132!" } }, events)
  end)

  it("fails with 1007 where it is not UTF-8", function()
    assert_fails(1007, frame(1, "a\255"))
    assert_fails(1007, frame(1, "\237\160\128"))
  end)

  it("fails with 1007 where it ends inside a character", function()
    assert_fails(1007, frame(1, "\226\130"))
    assert_fails(1007, frame(1, "\226\130", { fin = false }) .. frame(0, ""))
  end)

  it("fails with 1007 in the fragment that is wrong, before the last one", function()
    assert_fails(1007, frame(1, "ok\192", { fin = false }))
    assert_fails(1007, frame(1, "\224", { fin = false }) .. frame(0, "\128", { fin = false }))
  end)

  it("fails with 1007 at the wrong byte, before its frame has ended", function()
    local bytes = frame(1, "ok \244\144\128\128 and more")
    local conn, before = opened(), 6 + 4 -- of the four bytes the second is wrong
    assert.are.same({}, conn:receive(bytes:sub(1, before)))
    assert.are.equal(1007, conn:receive(bytes:sub(before + 1, before + 1))[1].code)
  end)

  it("is not looked for in binary messages", function()
    local events = opened():receive(frame(2, "\255", { fin = false }) .. frame(0, "\192"))
    assert.are.same({ { type = "binary", data = "\255\192" } }, events)
  end)
end)

describe("the limit of messages", function()
  it("fails bigger ones with 1009 (RFC 6455, section 7.4.1)", function()
    assert_fails(1009, frame(2, ("x"):rep(11)), 10)
    assert_fails(1009, frame(1, ("x"):rep(65537)))
  end)

  it("accepts those of just its size", function()
    local events = opened(10):receive(frame(2, ("x"):rep(10)))
    assert.are.equal("binary", events[1].type)
  end)

  it("counts all fragments together", function()
    assert_fails(1009, frame(2, ("x"):rep(6), { fin = false }) .. frame(0, ("x"):rep(5)), 10)
    local events = opened(10):receive(frame(2, ("x"):rep(6), { fin = false })
      .. frame(0, ("x"):rep(4)))
    assert.are.equal(10, #events[1].data)
  end)

  it("begins anew with each message", function()
    local message = frame(2, ("x"):rep(6), { fin = false }) .. frame(0, ("x"):rep(4))
    assert.are.equal(3, #receive_all(opened(10), message .. message .. frame(2, ("x"):rep(10))))
  end)

  it("is checked before the payload comes", function()
    assert_fails(1009, frame(2, "", { length = 11 }), 10)
  end)
end)

describe("pings and pongs (RFC 6455, section 5.5)", function()
  it("are answered with the same data", function()
    local conn = opened()
    assert.are.same({ { type = "ping", data = "" }, { type = "ping", data = "hello" } },
      conn:receive(frame(9, "") .. frame(9, "hello")))
    assert.are.equal("\138\0\138\5hello", conn:take_output())
  end)

  it("can be sent from here", function()
    local conn = opened()
    assert.is_true(conn:ping("hi"))
    assert.are.equal("\137\2hi", conn:take_output())
    assert.are.same({ { type = "pong", data = "hi" } }, conn:receive(frame(10, "hi")))
  end)

  it("cannot be sent with more than 125 bytes", function()
    local conn = opened()
    local sent, err = conn:ping(("x"):rep(126))
    assert.is_nil(sent)
    assert.is_not_nil(err:find("126", 1, true))
    assert.are.equal("", conn:take_output())
  end)

  it("cannot be sent before the connection is open, nor after a close", function()
    local conn = new()
    assert.is_nil((conn:ping("x")))
    conn = opened()
    conn:close(1000)
    conn:take_output()
    assert.is_nil((conn:ping("x")))
    assert.are.equal("", conn:take_output())
  end)
end)

describe("a close from the client (RFC 6455, section 5.5.1)", function()
  it("is answered with its code", function()
    local conn = opened()
    assert.are.same({ { type = "closed", code = 1001, reason = "leaving" } },
      conn:receive(close_frame(1001, "leaving")))
    assert.are.equal("closed", conn.state)
    assert.are.equal(closing(1001), conn:take_output())
  end)

  it("may carry nothing, which counts as 1005 and is answered with nothing", function()
    local conn = opened()
    assert.are.same({ { type = "closed", code = 1005, reason = "" } }, conn:receive(frame(8, "")))
    assert.are.equal("\136\0", conn:take_output())
  end)

  it("ends the connection: what follows is ignored, and nothing is sent", function()
    local conn = opened()
    assert.are.equal(1, #conn:receive(close_frame(1000) .. frame(1, "late") .. frame(9, "")))
    conn:take_output()
    assert.are.same({}, conn:receive(frame(9, "later")))
    assert.are.same({}, conn:receive_eof())
    conn:close(1000)
    assert.are.equal("", conn:take_output())
  end)

  it("may come between fragments", function()
    local events = opened():receive(frame(1, "a", { fin = false }) .. close_frame(1000))
    assert.are.same({ { type = "closed", code = 1000, reason = "" } }, events)
  end)

  it("fails with 1002 where it carries one byte", function()
    assert_fails(1002, frame(8, "\3"))
  end)

  it("fails with 1007 where its reason is not UTF-8", function()
    assert_fails(1007, close_frame(1000, "\255"))
    assert_fails(1007, close_frame(1000, "cut \226\130"))
  end)

  it("fails with 1002 where its code must not be sent (section 7.4)", function()
    for _, code in ipairs({ 0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535 }) do
      assert_fails(1002, close_frame(code))
    end
  end)

  it("may have every code that is defined, registered or private (section 7.4)", function()
    for _, code in ipairs({ 1000, 1003, 1007, 1011, 1012, 1014, 3000, 3999, 4000, 4999 }) do
      local conn = opened()
      assert.are.equal(code, conn:receive(close_frame(code))[1].code)
      assert.are.equal(closing(code), conn:take_output())
    end
  end)
end)

describe("a close from here (RFC 6455, section 7.1.2)", function()
  it("waits for the client's, which ends the connection", function()
    local conn = opened()
    conn:close(1001, "bye")
    assert.are.equal("closing", conn.state)
    assert.are.equal(closing(1001, "bye"), conn:take_output())
    assert.are.same({ { type = "closed", code = 1001, reason = "" } },
      conn:receive(close_frame(1001)))
    assert.are.equal("closed", conn.state)
    assert.are.equal("", conn:take_output())
  end)

  it("discards what the client sends until then, and answers nothing", function()
    local conn = opened()
    conn:close(1000)
    conn:take_output()
    assert.are.same({}, conn:receive(frame(1, "late") .. frame(9, "") .. frame(1, "\255")))
    assert.are.equal("closing", conn.state)
    assert.are.equal("", conn:take_output())
  end)

  it("is sent only once, also where the client then errs", function()
    local conn = opened()
    conn:close(1000)
    conn:close(1001)
    assert.are.equal(closing(1000), conn:take_output())
    assert.are.equal(1002, conn:receive(frame(3, ""))[1].code)
    assert.are.equal("", conn:take_output())
  end)

  it("cuts a long reason between two characters (section 5.5)", function()
    local conn = opened()
    conn:close(1000, ("\195\164"):rep(100))
    assert.are.equal(closing(1000, ("\195\164"):rep(61)), conn:take_output())
  end)
end)

describe("a connection that is lost (RFC 6455, section 7.1.5)", function()
  it("is closed with 1006, once", function()
    local conn = opened()
    assert.are.equal(1006, conn:receive_eof()[1].code)
    assert.are.same({}, conn:receive_eof())
    assert.are.equal("", conn:take_output())
  end)
end)

describe("a connection", function()
  it("raises nothing whatever it is fed, and sends nothing after its end", function()
    local seed = 1
    local function random(limit) -- the same everywhere, unlike math.random
      seed = (seed * 16807) % 2147483647
      return seed % limit
    end
    for round = 1, 300 do
      local conn = round % 3 == 0 and new() or opened()
      for _ = 1, 20 do
        local bytes = {}
        for i = 1, random(40) do
          bytes[i] = string.char(random(256))
        end
        bytes = table.concat(bytes)
        conn:receive(random(2) == 0 and bytes or frame(random(16), bytes, { fin = random(2) == 0 }))
        if conn.state == "closed" then
          conn:take_output()
          assert.are.same({}, conn:receive(bytes))
          assert.are.equal("", conn:take_output())
        end
      end
    end
  end)
end)
