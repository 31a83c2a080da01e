--- The socket that a server listens on, on loopback only.
local socket = require("socket")

local listener = {}

local BACKLOG = 8 -- connections that the system holds until they are accepted
local ON_WINDOWS = package.config:sub(1, 1) == "\\"

local function is_loopback(host)
  local octets = { host:match("^(127)%.(%d%d?%d?)%.(%d%d?%d?)%.(%d%d?%d?)$") }
  for _, octet in ipairs(octets) do
    if tonumber(octet) > 255 then
      return false
    end
  end
  return #octets > 0
end

local function bind(host, port)
  -- LuaSocket 3 makes the socket of a plain tcp() only later, too late for options
  local tcp, err = (socket.tcp4 or socket.tcp)()
  if not tcp then
    return nil, err
  end
  -- This lets a port be taken again at once after a restart; on Windows it would let two programs
  -- share one.
  local ok = ON_WINDOWS or tcp:setoption("reuseaddr", true)
  if ok then
    ok, err = tcp:bind(host, port)
  end
  if ok then
    ok, err = tcp:listen(BACKLOG)
  end
  if not ok then
    tcp:close()
    return nil, err
  end
  tcp:settimeout(0)
  return tcp
end

--- Listens on an address in 127.0.0.0/8.
-- @param port 0 for a free one
-- @return LuaSocket's socket, or nil and a sentence
function listener.open(host, port)
  if type(host) ~= "string" or not is_loopback(host) then
    return nil, ("cannot listen on %s: only loopback is served, use 127.0.0.1")
      :format(tostring(host))
  elseif type(port) ~= "number" or port % 1 ~= 0 or port < 0 or port > 65535 then
    return nil, ("cannot listen on port %s: use a whole number up to 65535, or 0 for a free port")
      :format(tostring(port))
  end
  local tcp, err = bind(host, port)
  if not tcp then
    return nil, ("cannot listen on %s, port %d: %s; choose another port, or 0 for a free one")
      :format(host, port, err)
  end
  return tcp
end

return listener
