--- A connection: right messages arrive as they were sent, whatever comes is answered by the rules
-- of RFC 6455, and how the bytes are cut makes no difference.
local client = require("spec.client")
local connection = require("websocket.connection")
local utf8 = require("websocket.utf8")
local wire = require("spec.fuzz.wire")

local LIMIT = 70000
local STATES = { handshake = true, open = true, closing = true, closed = true }
local MESSAGES = { text = true, binary = true }
local TEXTS = { "", "a", "\195\164", "\226\130\172", "\240\159\141\132", "\127", "end" }
local NOT_TEXTS = { "\255", "\192\128", "\128", "\237\160\128", "\244\144\128\128", "\224\128" }

local function new()
  return connection.new({
    token = client.TOKEN,
    subprotocol = client.SUBPROTOCOL,
    max_message = LIMIT,
  })
end

--- Checks events: what they carry, and that "closed" is the last, and comes once for each "open".
local function check(events, conn)
  local open, closed = false, false
  for i, event in ipairs(events) do
    assert(not closed, "an event after the end")
    if event.type == "open" then
      assert(i == 1, "opened late")
      open = true
    elseif event.type == "closed" then
      assert(type(event.code) == "number" and type(event.reason) == "string", "a bad end")
      closed = true
    else
      assert(open and #event.data <= LIMIT, "too much data, or too early")
      assert(event.type == "binary" or event.type == "ping" or event.type == "pong"
        or (event.type == "text" and utf8.scan(event.data) == ""), "a bad event")
    end
  end
  assert(STATES[conn.state], "a state that is not documented")
  assert(closed == (open and conn.state == "closed"), "the end is not told")
end

--- Checks what was sent: the handshake's answer, pongs and pings, then at most one close frame.
local function check_output(output, conn)
  if output == "" then
    return
  end
  local status, rest = output:match("^HTTP/1%.1 (%d%d%d) .-\r\n\r\n(.*)$")
  assert(status, "no HTTP response comes first")
  if status ~= "101" then
    assert(conn.state == "closed", "refused, but not closed")
    return
  end
  local frames = wire.read(rest)
  for i, sent in ipairs(frames) do
    local opcode, payload = sent[1], sent[2]
    if opcode == 8 then
      assert(i == #frames, "a frame after the close frame")
      assert(#payload ~= 1 and utf8.scan(payload:sub(3)) == "", "a bad close frame")
    end
  end
end

--- Feeds all pieces, taking message after message.
local function feed(pieces)
  local conn, events, output = new(), {}, {}
  for _, piece in ipairs(pieces) do
    repeat
      local count = #events
      conn:receive(piece, events)
      for i = count + 1, #events - 1 do
        assert(not MESSAGES[events[i].type], "a message, and more than that, at once")
      end
      output[#output + 1] = conn:take_output()
      piece = ""
    until #events == count
  end
  output[#output + 1] = conn:take_output()
  return conn, events, table.concat(output)
end

local function told(events)
  local lines = {}
  for i, event in ipairs(events) do
    lines[i] = event.type .. " " .. (event.data or event.code or "")
  end
  return table.concat(lines, "\n")
end

--- Feeds all pieces while this side pings, closes and loses the connection.
local function disturb(source, pieces)
  local conn, events, output = new(), {}, {}
  for _, piece in ipairs(pieces) do
    conn:receive(piece, events)
    local action = source:below(24)
    if action == 0 then
      conn:close(source:pick({ 1000, 1001, 4999 }), source:pick({ "bye", ("\195\164"):rep(70) }))
    elseif action == 1 then
      conn:ping(source:bytes(source:below(130)))
    elseif action == 2 then
      conn:receive_eof(events)
    elseif action == 3 then
      conn:refuse(408, "Too slow.")
    elseif action == 4 then
      output[#output + 1] = conn:take_output()
    end
  end
  output[#output + 1] = conn:take_output()
  return conn, events, table.concat(output)
end

--- An end of the connection: the client's close frame, or something that must fail it.
-- @return bytes and the code of the "closed" event
local function ending(source)
  local kind = source:below(6)
  if kind == 0 then
    return wire.bad_frame(source, LIMIT)
  elseif kind == 1 then
    local bad = source:pick(TEXTS) .. source:pick(NOT_TEXTS)
    return client.frame(1, bad, { fin = source:one_in(2) }), 1007
  elseif kind == 2 then
    return client.frame(0, "", { fin = source:one_in(2) }), 1002 -- continues nothing
  elseif kind == 3 then
    return client.frame(2, "", { fin = false }) .. client.frame(1, "a"), 1002
  elseif kind == 4 then
    local bad = { "\3", "\3\231", "\3\237", "\11\183", "\3\232\255", "\3\232\195" }
    local i = source:below(#bad) + 1
    return client.frame(8, bad[i]), i <= 4 and 1002 or 1007
  end
  local code = source:pick({ 1000, 1001, 1003, 3000, 4999 })
  return client.close_frame(code, source:pick(TEXTS)), code
end

return function(source)
  local parts, expected, known = { client.request() }, { "open " }, true
  for i = 1, source:below(5) do
    local opcode = source:below(2) + 1
    local payload = opcode == 1 and source:pick(TEXTS) .. source:pick(TEXTS) .. source:pick(TEXTS)
      or source:bytes(wire.length(source))
    parts[i + 1] = wire.message(source, opcode, payload, function(kind, data)
      expected[#expected + 1] = (kind == 9 and "ping " or "pong ") .. data
    end)
    expected[#expected + 1] = (opcode == 1 and "text " or "binary ") .. payload
  end
  if source:one_in(2) then
    local bytes, code = ending(source)
    parts[#parts + 1] = bytes .. source:bytes(source:below(3))
    expected[#expected + 1] = "closed " .. code
  end
  local bytes = table.concat(parts)
  if source:one_in(2) then
    local after = source:one_in(20) and 0 or #parts[1]
    bytes, known = bytes:sub(1, after) .. source:mutate(bytes:sub(after + 1)), false
  end

  local conn, events, output = feed({ bytes })
  check(events, conn)
  check_output(output, conn)
  local cut_conn, cut_events, cut_output = feed(source:pieces(bytes))
  assert(told(events) == told(cut_events), "events depend on how the bytes are cut")
  assert(output == cut_output and conn.state == cut_conn.state, "what is sent depends on it too")
  if known then
    assert(told(events) == table.concat(expected, "\n"), "what was sent is misread")
  end
  conn, events, output = disturb(source, source:pieces(bytes))
  check(events, conn)
  check_output(output, conn)
end
