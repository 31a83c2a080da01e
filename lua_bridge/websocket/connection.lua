--- One WebSocket connection as a server sees it (RFC 6455), without I/O.
--
-- Bytes go in by `receive`, events come out, one message at a time, so that it can be answered
-- before what follows it is looked at; bytes to send are collected for `take_output`.
-- `state` is "handshake", "open", "closing" (a close frame was sent, the client's is awaited) or
-- "closed" (nothing more is sent or read). Whatever the bytes, nothing is raised.
--
-- Events: { type = "open" }, { type = "text"|"binary"|"ping"|"pong", data = }, and, once for each
-- "open", { type = "closed", code =, reason = }. A refused handshake has no events.
local frame = require("websocket.frame")
local handshake = require("websocket.handshake")
local utf8 = require("websocket.utf8")

local connection = {}

local NO_CODE, LOST = 1005, 1006 -- never on the wire (section 7.4.1)
local PROTOCOL_ERROR, BAD_TEXT = 1002, 1007

local Connection = {}
Connection.__index = Connection

--- Makes a connection that awaits its handshake.
-- @param options token, subprotocol and admit as in `handshake.new`; max_message: most bytes of a
--   message, over all its fragments (default 65536)
function connection.new(options)
  return setmetatable({
    state = "handshake",
    handshake = handshake.new(options),
    decoder = frame.decoder(),
    max_message = options.max_message or 65536,
    output = "",
    message = nil, -- opcode of the message whose fragments are arriving
    fragments = nil,
    message_bytes = 0,
    tail = "", -- of a text: a character that the next fragment must complete
  }, Connection)
end

--- Whether a client may send this close code (section 7.4; 1012 to 1014 are registered since).
local function is_close_code(code)
  return code >= 1000 and code <= 1014 and (code < 1004 or code > 1006)
    or code >= 3000 and code <= 4999
end

local function control(opcode, payload)
  return frame.header(opcode, #payload) .. payload
end

local function close_frame(code, reason)
  reason = utf8.truncate(reason or "", frame.MAX_CONTROL_PAYLOAD - 2)
  return control(frame.CLOSE, string.char(math.floor(code / 256), code % 256) .. reason)
end

function Connection:send(bytes)
  self.output = self.output .. bytes
end

function Connection:finish(events, code, reason)
  self.state = "closed"
  self.decoder, self.fragments = nil, nil
  events[#events + 1] = { type = "closed", code = code, reason = reason }
end

--- Fails the connection (section 7.1.7).
function Connection:fail(events, code, reason)
  if self.state == "open" then
    self:send(close_frame(code, reason))
  end
  self:finish(events, code, reason)
end

function Connection:on_close(events, payload)
  if payload == "" then
    if self.state == "open" then
      self:send(control(frame.CLOSE, ""))
    end
    return self:finish(events, NO_CODE, "")
  elseif #payload == 1 then
    return self:fail(events, PROTOCOL_ERROR, "a close frame must carry no byte or at least two")
  end
  local high, low = payload:byte(1, 2)
  local code, reason = high * 256 + low, payload:sub(3)
  if not is_close_code(code) then
    return self:fail(events, PROTOCOL_ERROR, ("%d is not a valid close code"):format(code))
  elseif utf8.scan(reason) ~= "" then
    return self:fail(events, BAD_TEXT, "the reason in a close frame is not valid UTF-8")
  end
  if self.state == "open" then
    self:send(close_frame(code)) -- section 5.5.1: the answer echoes the code
  end
  return self:finish(events, code, reason)
end

--- Takes a fragment of a message, or a whole one (section 5.4).
-- @return true if the message is whole with it
function Connection:on_data(events, opcode, payload, fin)
  if opcode == frame.CONTINUATION and not self.message then
    return self:fail(events, PROTOCOL_ERROR, "a continuation frame continues nothing")
  elseif opcode ~= frame.CONTINUATION and self.message then
    return self:fail(events, PROTOCOL_ERROR, "a message began before the last one had ended")
  end
  local message = self.message or opcode
  if message == frame.TEXT then
    local tail = utf8.scan(self.tail .. payload)
    if not tail or (fin and tail ~= "") then
      return self:fail(events, BAD_TEXT, "a text message is not valid UTF-8")
    end
    self.tail = tail
  end
  if not fin then
    self.message = message
    self.fragments = self.fragments or {}
    if payload ~= "" then -- so that empty fragments without end need no memory
      self.fragments[#self.fragments + 1] = payload
    end
    self.message_bytes = self.message_bytes + #payload
    return
  end
  local fragments = self.fragments
  if fragments then
    fragments[#fragments + 1] = payload
    payload = table.concat(fragments)
    self.message, self.fragments, self.message_bytes = nil, nil, 0
  end
  events[#events + 1] = { type = message == frame.TEXT and "text" or "binary", data = payload }
  return true
end

--- Takes a frame.
-- @return true if a message is whole with it
function Connection:on_frame(events, opcode, payload, fin)
  if opcode == frame.CLOSE then
    self:on_close(events, payload)
  elseif self.state ~= "open" then
    return -- section 1.4: what comes after our close frame is discarded, up to the client's
  elseif opcode == frame.PING then
    self:send(control(frame.PONG, payload))
    events[#events + 1] = { type = "ping", data = payload }
  elseif opcode == frame.PONG then
    events[#events + 1] = { type = "pong", data = payload }
  else
    return self:on_data(events, opcode, payload, fin)
  end
end

function Connection:on_handshake(events, bytes)
  local result = self.handshake:receive(bytes)
  if not result then
    return
  end
  self.handshake = nil
  self:send(result.response)
  if not result.accepted then
    self.state = "closed"
    return
  end
  self.state = "open"
  events[#events + 1] = { type = "open" }
  if result.rest ~= "" then
    self:receive(result.rest, events)
  end
end

--- Takes bytes as they were received, in pieces of any size, and goes on to the end of the next
-- message; what follows that waits for the next call, which may bring no bytes.
-- @param events list to append to; a new one if not given
-- @return the list of events
function Connection:receive(bytes, events)
  events = events or {}
  if self.state == "handshake" then
    self:on_handshake(events, bytes)
    return events
  elseif self.state == "closed" then
    return events
  end
  self.decoder:feed(bytes)
  while self.state ~= "closed" do
    local opcode, payload, fin = self.decoder:next(self.max_message - self.message_bytes)
    if opcode then
      if self:on_frame(events, opcode, payload, fin) then
        return events
      end
    else
      local code, problem = payload, fin
      if code then
        self:fail(events, code, problem)
      end
      return events
    end
  end
  return events
end

--- Takes notice that the client's side of the TCP connection has ended.
function Connection:receive_eof(events, reason)
  events = events or {}
  if self.state == "handshake" then
    self.state = "closed"
  elseif self.state ~= "closed" then
    self:finish(events, LOST, reason or "the connection was lost")
  end
  return events
end

--- Refuses a client that is still in its handshake, with an HTTP status and a sentence.
function Connection:refuse(status, sentence)
  if self.state == "handshake" then
    self:send(handshake.refusal(status, sentence))
    self.state = "closed"
  end
end

--- Starts the close handshake (section 7.1.2). Does nothing unless the connection is open.
-- @param reason valid UTF-8, cut to 123 bytes
function Connection:close(code, reason)
  if self.state == "open" then
    self:send(close_frame(code or 1000, reason))
    self.state = "closing"
  end
end

--- Sends a ping of at most 125 bytes.
-- @return true, or nil and why not
function Connection:ping(data)
  data = data or ""
  if self.state ~= "open" then
    return nil, "cannot ping: the connection is not open"
  elseif #data > frame.MAX_CONTROL_PAYLOAD then
    return nil, ("cannot ping with %d bytes: 125 is the most"):format(#data)
  end
  self:send(control(frame.PING, data))
  return true
end

--- Returns the bytes to send now, "" if there are none, and forgets them.
function Connection:take_output()
  local output = self.output
  self.output = ""
  return output
end

return connection
