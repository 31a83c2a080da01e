--- A WebSocket server for one client at a time, on loopback, by LuaSocket.
--
-- Nothing runs between calls: `poll` waits, accepts, reads and answers. Nothing raises, and no
-- call blocks but `poll`, for at most its timeout, a send, for at most `send_timeout`, and `close`,
-- for about `close_timeout`.
local socket = require("socket")
local frame = require("websocket.frame")
local heartbeat = require("websocket.heartbeat")
local listener = require("websocket.listener")
local peers = require("websocket.peer")

local server = {}

local MERGE_BYTES = 4096 -- a first part up to this size is joined to the frame's header
local MAX_PEERS = 8 -- sockets beside the client's
local GOING_AWAY, INTERNAL_ERROR = 1001, 1011

local select = socket.select

local Server = {}
Server.__index = Server

local function check(options)
  if type(options.token) ~= "string" or not options.token:find("^[!-~]+$") then
    return nil, "the token must be printable ASCII without spaces, and not empty"
  elseif type(options.subprotocol) ~= "string" or not options.subprotocol:find("^[%w._-]+$") then
    return nil, ("the subprotocol must be a word, got %s"):format(tostring(options.subprotocol))
  end
  if options.ping_interval and (options.ping_timeout or 0) <= options.ping_interval then
    return nil, "ping_timeout must be greater than ping_interval"
  end
  return true
end

--- Starts to listen.
-- @param options token and subprotocol (required); host (default 127.0.0.1; 127.0.0.0/8 only);
--   port (default 0, a free one); max_message (bytes, default 65536); in seconds
--   handshake_timeout (default 5), send_timeout (default 10) and close_timeout (default 1);
--   ping_interval and ping_timeout (default: no heartbeat), the client's silence after which it is
--   pinged, and after which it is dropped; clock (a function giving seconds; default
--   socket.gettime)
-- @return the server, or nil and a sentence
function server.listen(options)
  local ok, err = check(options)
  if not ok then
    return nil, err
  end
  local tcp
  tcp, err = listener.open(options.host or "127.0.0.1", options.port or 0)
  if not tcp then
    return nil, err
  end
  local self = setmetatable({
    listener = tcp,
    clock = options.clock or socket.gettime,
    handshake_timeout = options.handshake_timeout or 5,
    send_timeout = options.send_timeout or 10,
    close_timeout = options.close_timeout or 1,
    ping_interval = options.ping_interval,
    ping_timeout = options.ping_timeout,
    heartbeat = nil, -- the client's
    client = nil, -- the peer whose connection is open
    peers = {}, -- those in their handshake, and those being closed; oldest first
    watched = nil, -- sockets to wait for, made again when one comes or goes
    events = {}, -- not yet returned by poll
    next_event = 1,
  }, Server)
  self.connection_options = {
    token = options.token,
    subprotocol = options.subprotocol,
    max_message = options.max_message,
    admit = function()
      return self.client == nil, "Another client is connected, and only one is served at a time."
    end,
  }
  return self
end

--- The port listened on, or nil once the server is closed.
function Server:port()
  if not self.listener then
    return nil
  end
  local _, port = self.listener:getsockname()
  return tonumber(port)
end

--- Whether a client is connected, its handshake done.
function Server:has_client()
  return self.client ~= nil
end

-- Sending -----------------------------------------------------------------------------------------

--- Ends the client's connection at once, because nothing can be sent to it.
function Server:drop(err)
  local client = self.client
  self.client, self.watched = nil, nil
  client.connection:receive_eof(self.events, "cannot send to the client: " .. err)
  client:close()
  return nil, "cannot send to the client: " .. err
end

--- The bytes of a part of a message: a string, its first and its last byte, or nil and a sentence.
local function span(part)
  if type(part) == "string" then
    return part, 1, #part
  end
  local data, first, last = part[1], part[2], part[3]
  if first < 1 or last > #data or first > last + 1 then
    return nil, ("cannot send bytes %d to %d of %d"):format(first, last, #data)
  end
  return data, first, last
end

--- Sends parts as one frame, so that no part is copied but a short first one.
function Server:send(opcode, parts)
  local client = self.client
  if not client then
    return nil, "cannot send: no client is connected"
  end
  local length = 0
  for i = 1, #parts do
    local data, first, last = span(parts[i])
    if not data then
      return nil, first
    end
    length = length + last - first + 1
  end
  local deadline = self.clock() + self.send_timeout
  local header, next_part = frame.header(opcode, length), 1
  if type(parts[1]) == "string" and #parts[1] <= MERGE_BYTES then
    -- one packet, for TCP_NODELAY would send the header in its own
    header, next_part = header .. parts[1], 2
  end
  local ok, err = client:transmit(header, 1, #header, deadline)
  for i = next_part, #parts do
    if not ok then
      break
    end
    local data, first, last = span(parts[i])
    ok, err = client:transmit(data, first, last, deadline)
  end
  if not ok then
    return self:drop(err)
  end
  return true
end

--- Sends a text message of valid UTF-8.
-- @return true, or nil and a sentence; the connection ends where a send fails
function Server:send_text(text)
  return self:send(frame.TEXT, { text })
end

--- Sends one binary message, unfragmented.
-- @param parts list of strings and of { string, first byte, last byte }
-- @return true, or nil and a sentence; the connection ends where a send fails
function Server:send_binary(parts)
  return self:send(frame.BINARY, parts)
end

--- Sends a ping; the client's pong comes as an event.
-- @return true, or nil and a sentence
function Server:ping(data)
  local client = self.client
  if not client then
    return nil, "cannot ping: no client is connected"
  end
  local ok, err = client.connection:ping(data)
  if not ok then
    return nil, err
  end
  ok, err = client:flush(self.send_timeout)
  if not ok then
    return self:drop(err)
  end
  return true
end

-- Peers beside the client -------------------------------------------------------------------------

function Server:add_peer(peer, timeout)
  if #self.peers >= MAX_PEERS then
    table.remove(self.peers, 1):close()
  end
  peer.deadline = self.clock() + timeout
  self.peers[#self.peers + 1] = peer
  self.watched = nil
end

function Server:remove_peer(peer)
  for i, other in ipairs(self.peers) do
    if other == peer then
      table.remove(self.peers, i)
      self.watched = nil
      return
    end
  end
end

--- Sends the rest to a peer whose connection is closed or closing, and lets it read that in peace:
-- were the socket closed with bytes unread, the peer would see a reset in place of our close frame.
function Server:linger(peer)
  local ok = peer:flush(self.send_timeout)
  if not ok then
    peer:close()
    return
  end
  if peer.connection.state == "closed" then
    peer:shutdown()
  end
  self:add_peer(peer, self.close_timeout)
end

function Server:accept()
  local tcp = self.listener:accept()
  if not tcp then
    return -- the client has gone again
  end
  self:add_peer(peers.new(tcp, self.connection_options, self.clock), self.handshake_timeout)
end

--- Takes from the client up to one message: of what has come already, else from its socket.
function Server:serve_client(readable)
  local client = self.client
  local data = ""
  if readable then
    data, client.ended = client:read()
  end
  client.connection:receive(data, self.events)
  if client.ended and #self.events == 0 then -- all that came before the end is taken
    client.connection:receive_eof(self.events)
  end
  if client.connection.state == "closed" then
    self.client, self.watched = nil, nil
    self:linger(client)
    return
  end
  local ok, err = client:flush(self.send_timeout) -- pongs
  if not ok then
    self:drop(err)
  end
end

function Server:serve_peer(peer)
  local conn = peer.connection
  local before = conn.state
  local data, ended = peer:read()
  -- the "closed" event of a connection that we close is given when it begins
  conn:receive(data, before == "handshake" and self.events or {})
  if conn.state == "open" then
    self:remove_peer(peer)
    self.client, peer.ended = peer, ended
    self.heartbeat = self.ping_interval and heartbeat.new(self.ping_interval, self.ping_timeout)
    local ok, err = peer:flush(self.send_timeout)
    if not ok then
      self:drop(err)
    end
  elseif ended then
    self:remove_peer(peer)
    peer:flush(self.send_timeout) -- a refusal, for one who has only stopped to send
    peer:close()
  elseif conn.state == "closed" and before ~= "closed" then
    self:remove_peer(peer)
    self:linger(peer)
  end
end

function Server:serve_peers(readable)
  for i = #self.peers, 1, -1 do -- backwards, for serving one may move it to the end
    local peer = self.peers[i]
    if self.client and self.client.ended or not self.client and #self.events > 0 then
      return -- a client has gone: what it has sent is taken first, and answers reach no other
    elseif readable[peer.socket] then
      self:serve_peer(peer)
    end
  end
end

--- Pings a client that was waited for in vain, and drops one that is dead.
function Server:beat(seconds)
  if #self.events > 0 then
    self.heartbeat:heard() -- a whole message: single bytes are no sign of life
    return
  end
  local due = self.heartbeat:waited(seconds)
  if due == "ping" then
    self:ping("")
  elseif due == "dead" then
    self:disconnect(INTERNAL_ERROR, ("no sign of life from the client for %g seconds"):format(
      self.ping_timeout))
  end
end

--- Ends peers whose time is over.
function Server:expire()
  if #self.peers == 0 then
    return
  end
  local now = self.clock()
  for i = #self.peers, 1, -1 do
    local peer = self.peers[i]
    if peer.deadline <= now then
      self:remove_peer(peer)
      if peer.connection.state == "handshake" then
        peer.connection:refuse(408, ("The opening handshake took more than %g seconds.")
          :format(self.handshake_timeout))
        self:linger(peer)
      else
        peer:close()
      end
    end
  end
end

-- The loop's side ---------------------------------------------------------------------------------

function Server:pop()
  local events = self.events
  while true do
    local event = events[self.next_event]
    if not event then
      for i = 1, self.next_event - 1 do -- one table for all times, to spare the collector
        events[i] = nil
      end
      self.next_event = 1
      return nil
    end
    self.next_event = self.next_event + 1
    if event.type ~= "ping" then -- already answered
      return event
    end
  end
end

function Server:sockets()
  if not self.watched then
    local watched = { self.listener }
    if self.client then
      watched[#watched + 1] = self.client.socket
    end
    for _, peer in ipairs(self.peers) do
      watched[#watched + 1] = peer.socket
    end
    self.watched = watched
  end
  return self.watched
end

--- Seconds to wait: `timeout`, or less if a peer's time is over or a ping is due before.
function Server:patience(timeout)
  if self.client and self.heartbeat then
    timeout = math.min(timeout, self.heartbeat:patience())
  end
  if #self.peers > 0 then
    local now = self.clock()
    for _, peer in ipairs(self.peers) do
      timeout = math.min(timeout, peer.deadline - now)
    end
  end
  return math.max(timeout, 0)
end

--- Waits for something to happen, at most `timeout` seconds, and sees to it.
-- @return the client's next event, or nil: then nothing of the client's has happened yet, which
--   may be known before the time is over. Events are { type = "open" }, { type = "text"|"binary"|
--   "pong", data = }, and { type = "closed", code =, reason = } once for each "open".
function Server:poll(timeout)
  local event = self:pop()
  if event then
    return event
  end
  if self.client then
    self:serve_client(false)
    event = self:pop()
    if event then
      if self.heartbeat then
        self.heartbeat:heard()
      end
      return event
    end
  end
  local patience, start = self:patience(timeout or 0), self.clock()
  local readable = select(self:sockets(), nil, patience)
  if self.client and readable[self.client.socket] then
    self:serve_client(true)
  end
  if self.client and self.heartbeat then
    self:beat(math.min(math.max(self.clock() - start, 0), patience))
  end
  self:serve_peers(readable)
  if self.listener and readable[self.listener] then
    self:accept()
  end
  self:expire()
  return self:pop()
end

--- Closes the client's connection, if there is one. Its "closed" event carries this code.
function Server:disconnect(code, reason)
  local client = self.client
  if not client then
    return
  end
  code, reason = code or 1000, reason or ""
  self.client, self.watched = nil, nil
  self.events, self.next_event = { { type = "closed", code = code, reason = reason } }, 1
  client.connection:close(code, reason)
  client.connection:receive("", {}) -- its own close frame may have come already
  self:linger(client)
end

--- Stops listening and closes all connections, the client's with code 1001.
function Server:close()
  if not self.listener then
    return
  end
  self:disconnect(GOING_AWAY, "the server is closing")
  self.listener:close()
  self.listener, self.watched = nil, nil
  for i = #self.peers, 1, -1 do
    local peer = self.peers[i]
    if peer.connection.state == "handshake" then
      self:remove_peer(peer)
      peer:close()
    end
  end
  local rounds = 20 -- counted, so that the end does not hang on the clock
  for _ = 1, rounds do
    if #self.peers == 0 then
      break
    end
    self:serve_peers(select(self:sockets(), nil, self.close_timeout / rounds))
  end
  for _, peer in ipairs(self.peers) do
    peer:close()
  end
  self.peers, self.watched = {}, nil
end

return server
