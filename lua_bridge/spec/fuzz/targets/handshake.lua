--- The opening handshake: right requests are accepted, no other gets in, and how the bytes are cut
-- makes no difference.
local client = require("spec.client")
local handshake = require("websocket.handshake")
require("spec.fuzz.wire") -- computes the usual key's hash once

-- What a header may be changed to: false leaves it out.
local VALUES = { false, "", " ", "x", "websocket", "Upgrade", "keep-alive, Upgrade", "13", "12",
  client.KEY, client.KEY .. "=", "Bearer", "Bearer x", "bearer " .. client.TOKEN, "Basic x",
  client.SUBPROTOCOL, "chat, " .. client.SUBPROTOCOL, "SB3-MARIO.V1", "127.0.0.1", "0", "null" }
local NAMES = { "Host", "Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version",
  "Sec-WebSocket-Protocol", "Authorization", "Origin", "Content-Length", "Transfer-Encoding",
  "User-Agent", "sec-websocket-key", "X" }
local LINES = { "GET / HTTP/1.1", "GET /x HTTP/1.1", "GET http://h/ HTTP/1.1", "POST / HTTP/1.1",
  "GET / HTTP/1.0", "GET / HTTP/2.0", "GET * HTTP/1.1", "GET /", "", "get / http/1.1" }
local STATUSES = { [101] = true, [400] = true, [401] = true, [403] = true, [405] = true,
  [426] = true, [431] = true, [503] = true }

local function receive(pieces, admit)
  local shaking = handshake.new({
    token = client.TOKEN,
    subprotocol = client.SUBPROTOCOL,
    admit = admit,
  })
  local result, rest = nil, {}
  for _, piece in ipairs(pieces) do
    if result then
      rest[#rest + 1] = piece
    else
      result = shaking:receive(piece)
    end
  end
  if result and result.accepted then
    result.rest = result.rest .. table.concat(rest)
  end
  return result
end

local function check(result, bytes)
  assert(STATUSES[result.status], "a status that is not documented")
  assert(result.accepted == (result.status == 101), "accepted by another status")
  local status, head, body = result.response:match("^HTTP/1%.1 (%d%d%d) (.-\r\n\r\n)(.*)$")
  assert(status == tostring(result.status), "no HTTP response")
  assert(not head:gsub("\r\n", ""):find("[%c]"), "a control character in the response's head")
  if not result.accepted then
    assert(tonumber(head:match("Content%-Length: (%d+)\r\n")) == #body, "a wrong length")
    return
  end
  local request = bytes:match("^.-\r\n\r\n")
  assert(bytes == request .. result.rest, "bytes after the request are lost")
  assert(#request <= handshake.MAX_HEAD_BYTES, "a request that is too long is accepted")
  assert(request:find("\n%a+:[ \t]*%a+ +" .. client.TOKEN .. "[ \t]*\r"), "in without the token")
  local folded = request:lower()
  assert(folded:find("\nauthorization:[ \t]*bearer "), "another scheme is accepted")
  assert(folded:find("\nsec%-websocket%-version:[ \t]*13[ \t]*\r"), "so is another version")
  assert(not folded:find("\norigin:"), "a browser is accepted")
end

return function(source)
  local changes, right = {}, true
  for _ = 1, source:one_in(2) and 0 or source:below(3) do
    changes[source:pick(NAMES)] = source:pick(VALUES)
    right = false
  end
  local line = LINES[1]
  if source:one_in(8) then
    line, right = source:pick(LINES), false
  end
  local bytes = client.request(changes, line)
  if source:one_in(200) then
    bytes, right = bytes:sub(1, -3) .. ("X: y\r\n"):rep(source:below(2000)) .. "\r\n", false
  end
  local asked_for = bytes
  bytes = bytes .. (source:one_in(4) and source:bytes(source:below(20)) or "")
  if source:one_in(2) then
    bytes, right = source:mutate(bytes), false
  end
  local admit = nil
  if source:one_in(10) then
    admit = function() return false, "Not now." end
    right = false
  end

  local whole, cut = receive({ bytes }, admit), receive(source:pieces(bytes), admit)
  assert((whole == nil) == (cut == nil), "the answer depends on how the bytes are cut")
  if whole then
    check(whole, bytes)
    assert(whole.response == cut.response and whole.rest == cut.rest, "so does what it is")
  end
  if right then
    assert(whole and whole.accepted and bytes == asked_for .. whole.rest, "a right request fails")
  end
end
