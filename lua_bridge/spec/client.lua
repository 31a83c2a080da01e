--- The client's side of the protocol, for specs: requests and masked frames, right or wrong.
local bits = require("websocket.bits")

local client = {}

client.TOKEN = "0123456789abcdef"
client.SUBPROTOCOL = "sb3-mario.v1"
--- Key and answer of RFC 6455, section 1.3.
client.KEY = "dGhlIHNhbXBsZSBub25jZQ=="
client.ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

local HEADERS = {
  { "Host", "127.0.0.1:1234" },
  { "Upgrade", "websocket" },
  { "Connection", "Upgrade" },
  { "Sec-WebSocket-Key", client.KEY },
  { "Sec-WebSocket-Version", "13" },
  { "Sec-WebSocket-Protocol", client.SUBPROTOCOL },
  { "Authorization", "Bearer " .. client.TOKEN },
}

--- An upgrade request.
-- @param changes header name -> other value, or false to leave it out
-- @param line request line in place of the right one
function client.request(changes, line)
  local rest = {}
  for name, value in pairs(changes or {}) do
    rest[name] = value
  end
  local lines = { line or "GET / HTTP/1.1" }
  for _, header in ipairs(HEADERS) do
    local name, value = header[1], header[2]
    if rest[name] ~= nil then
      value, rest[name] = rest[name], nil
    end
    if value then
      lines[#lines + 1] = name .. ": " .. value
    end
  end
  for name, value in pairs(rest) do
    lines[#lines + 1] = value and name .. ": " .. value or nil
  end
  return table.concat(lines, "\r\n") .. "\r\n\r\n"
end

--- The bytes of a number, highest first.
function client.big_endian(value, size)
  local bytes = ""
  for _ = 1, size do
    bytes = string.char(value % 256) .. bytes
    value = math.floor(value / 256)
  end
  return bytes
end

--- A frame as RFC 6455, section 5.2 draws it.
-- @param options fin (default true), rsv (0 to 7), mask (4 bytes, or false for none), length (a
--   wrong one to claim), form (7, 16 or 64: how the length is written; default the shortest)
function client.frame(opcode, payload, options)
  options = options or {}
  local length = options.length or #payload
  local form = options.form or (length < 126 and 7 or length < 65536 and 16 or 64)
  local mask = options.mask == nil and "\55\250\33\61" or options.mask
  local first = opcode + (options.fin == false and 0 or 128) + (options.rsv or 0) * 16
  local second = (mask and 128 or 0) + (form == 7 and length or form == 16 and 126 or 127)
  local bytes = { string.char(first, second) }
  if form ~= 7 then
    bytes[2] = client.big_endian(length, form / 8)
  end
  if not mask then
    return table.concat(bytes) .. payload
  end
  bytes[#bytes + 1] = mask
  for i = 1, #payload do
    local key = mask:byte((i - 1) % 4 + 1)
    bytes[#bytes + 1] = string.char(bits.bxor(payload:byte(i), key))
  end
  return table.concat(bytes)
end

function client.close_frame(code, reason)
  return client.frame(8, client.big_endian(code, 2) .. (reason or ""))
end

return client
