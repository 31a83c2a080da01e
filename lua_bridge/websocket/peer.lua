--- A connection and its socket, which never blocks.
local socket = require("socket")
local connection = require("websocket.connection")

local peer = {}

local READ_BYTES = 16384

local select = socket.select

local Peer = {}
Peer.__index = Peer

--- Takes over a socket that was accepted.
-- @param options of `connection.new`
-- @param clock function giving seconds
function peer.new(tcp, options, clock)
  tcp:settimeout(0)
  tcp:setoption("tcp-nodelay", true) -- answers are awaited one by one
  return setmetatable({
    socket = tcp,
    connection = connection.new(options),
    clock = clock,
    deadline = nil, -- the server's, for whom it is not its client
    ended = false, -- for the server's client: whether its side has ended
    only = { tcp }, -- for select
  }, Peer)
end

--- Reads what is there, without waiting.
-- @return the bytes, and whether the client's side has ended
function Peer:read()
  local data, err, partial = self.socket:receive(READ_BYTES)
  return data or partial or "", err ~= nil and err ~= "timeout"
end

--- Sends bytes `first` to `last` of a string, waiting until `deadline` at most (nil: not at all).
-- @return true, or nil and why not; some bytes may have been sent then
function Peer:transmit(data, first, last, deadline)
  local tcp = self.socket
  while first <= last do
    local sent, err, partial = tcp:send(data, first, last)
    if sent then
      return true
    elseif err ~= "timeout" then
      return nil, err
    end
    first = partial + 1
    local remaining = deadline and deadline - self.clock() or 0
    if remaining <= 0 then
      return nil, "timeout"
    end
    local _, writable = select(nil, self.only, remaining)
    if not writable[tcp] then
      return nil, "timeout"
    end
  end
  return true
end

--- Sends what the connection has collected.
-- @param timeout seconds to wait at most, if the connection is open: no other is worth a wait
-- @return true, or nil and why not
function Peer:flush(timeout)
  local output = self.connection:take_output()
  if output == "" then
    return true
  end
  local deadline = self.connection.state == "open" and self.clock() + timeout or nil
  return self:transmit(output, 1, #output, deadline)
end

--- Ends our side of the TCP connection; the client's can still be read.
function Peer:shutdown()
  self.socket:shutdown("send")
end

--- Closes the socket at once.
function Peer:close()
  self.socket:close()
end

return peer
