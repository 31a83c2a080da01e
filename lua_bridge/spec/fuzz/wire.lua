--- Frames for the fuzz targets: from a client, mostly right, and from the server, to be checked.
local client = require("spec.client")
local handshake = require("websocket.handshake")

local wire = {}

-- The handshake's hash takes longer than all else here, so that of the usual key is computed once.
local accept, usual = handshake.accept, handshake.accept(client.KEY)
function handshake.accept(key)
  return key == client.KEY and usual or accept(key)
end

local LENGTHS = { 0, 1, 2, 3, 4, 5, 7, 8, 31, 124, 125, 126, 127, 130, 300 }
local MASKS = { "\0\0\0\0", "\55\250\33\61", "\255\0\128\1", "\255\255\255\255" }

--- Lengths of payloads: few bytes in the main, and where the header changes its form.
function wire.length(source)
  if source:one_in(20000) then
    return 65534 + source:below(4)
  end
  return source:one_in(4) and source:pick(LENGTHS) or source:below(12)
end

--- A frame as a client sends it.
function wire.frame(source, opcode, payload, fin)
  return client.frame(opcode, payload, { fin = fin, mask = source:pick(MASKS) })
end

-- Frames with one fault each, and the code that they are refused with.
local FAULTS = {
  function(source, opcode, payload)
    return client.frame(opcode, payload, { rsv = 1 + source:below(7) }), 1002
  end,
  function(source, _, payload)
    return client.frame(source:pick({ 3, 4, 5, 6, 7, 11, 12, 13, 14, 15 }), payload), 1002
  end,
  function(_, opcode, payload) return client.frame(opcode, payload, { mask = false }), 1002 end,
  function(source, _, payload)
    return client.frame(source:pick({ 8, 9, 10 }), payload, { fin = false }), 1002
  end,
  function(source)
    return client.frame(source:pick({ 8, 9, 10 }), ("x"):rep(126 + source:below(9))), 1002
  end,
  function(source, opcode, payload)
    return client.frame(opcode, payload, { form = source:pick({ 16, 64 }) }), 1002
  end,
  function(source, opcode)
    local length = source:pick({ 126, 65535, 2 ^ 63 })
    return client.frame(opcode, "", { form = 64, length = length }), 1002
  end,
  function(source, opcode, _, limit)
    return client.frame(opcode, "", { length = limit + 1 + source:below(9) }), 1009
  end,
}

--- A frame that must be refused, and the close code for it.
-- @param limit most bytes that a frame may carry here
function wire.bad_frame(source, limit)
  return source:pick(FAULTS)(source, 1 + source:below(2), source:bytes(source:below(10)), limit)
end

--- Sends a message in fragments, with pings and pongs between them.
-- @param control function called with opcode and payload for each of those
-- @return the bytes
function wire.message(source, opcode, payload, control)
  local parts = {}
  local pieces = source:one_in(2) and { payload } or source:pieces(payload)
  if #pieces == 0 then
    pieces = { "" }
  end
  for i, piece in ipairs(pieces) do
    if source:one_in(6) then
      local kind, data = 9 + source:below(2), source:bytes(source:below(6))
      parts[#parts + 1] = wire.frame(source, kind, data)
      control(kind, data)
    end
    parts[#parts + 1] = wire.frame(source, i == 1 and opcode or 0, piece, i == #pieces)
  end
  return table.concat(parts)
end

--- Reads frames of the server's; raises where one is not as RFC 6455 wants it.
-- @return list of { opcode, payload }
function wire.read(bytes)
  local frames, position = {}, 1
  while position <= #bytes do
    local first, length = bytes:byte(position, position + 1)
    assert(length and length <= 125, "a header is cut off, or a payload long or masked")
    local opcode, payload = first - 128, bytes:sub(position + 2, position + 1 + length)
    assert(opcode == 8 or opcode == 9 or opcode == 10, "not a control frame")
    assert(#payload == length, "a frame is cut off")
    frames[#frames + 1] = { opcode, payload }
    position = position + 2 + length
  end
  return frames
end

return wire
