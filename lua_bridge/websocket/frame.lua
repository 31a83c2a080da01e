--- WebSocket frames as a server sees them (RFC 6455, section 5), without I/O.
local bits = require("websocket.bits")

local bxor = bits.bxor
local byte, char, sub = string.byte, string.char, string.sub
local concat, floor, min = table.concat, math.floor, math.min

local frame = {}

frame.CONTINUATION, frame.TEXT, frame.BINARY = 0, 1, 2
frame.CLOSE, frame.PING, frame.PONG = 8, 9, 10
frame.MAX_CONTROL_PAYLOAD = 125

local PROTOCOL_ERROR, TOO_BIG = 1002, 1009
local KNOWN = { [0] = true, [1] = true, [2] = true, [8] = true, [9] = true, [10] = true }
local UNMASK_BYTES = 1024 -- at a time, a multiple of 4; Lua's stack takes less than 8,000

--- The header of a frame from the server, which is never masked (section 5.1) nor a fragment.
-- The payload is not taken, so that a big one need not be copied.
function frame.header(opcode, length)
  local first = opcode + 128
  if length < 126 then
    return char(first, length)
  elseif length < 65536 then
    return char(first, 126, floor(length / 256), length % 256)
  end
  return char(first, 127, 0, floor(length / 2 ^ 48) % 256, floor(length / 2 ^ 40) % 256,
    floor(length / 2 ^ 32) % 256, floor(length / 2 ^ 24) % 256, floor(length / 65536) % 256,
    floor(length / 256) % 256, length % 256)
end

--- Applies a mask to the bytes `first` to `last` of a string (section 5.3).
local function unmask(text, first, last, m1, m2, m3, m4)
  local pieces = {}
  for start = first, last, UNMASK_BYTES do
    local stop = start + UNMASK_BYTES - 1
    if stop > last then
      stop = last
    end
    local values = { byte(text, start, stop) }
    local count = stop - start + 1
    for i = 1, count, 4 do
      values[i] = bxor(values[i], m1)
      if i + 3 <= count then
        values[i + 1] = bxor(values[i + 1], m2)
        values[i + 2] = bxor(values[i + 2], m3)
        values[i + 3] = bxor(values[i + 3], m4)
      else
        values[i + 1] = values[i + 1] and bxor(values[i + 1], m2)
        values[i + 2] = values[i + 2] and bxor(values[i + 2], m3)
      end
    end
    pieces[#pieces + 1] = char(unpack(values, 1, count))
  end
  return concat(pieces)
end

--- Reads the extended payload length (section 5.2).
-- @return the length, or nil and what is wrong with it
local function extended_length(text, position, size)
  if size == 2 then
    local b1, b2 = byte(text, position, position + 1)
    local length = b1 * 256 + b2
    if length < 126 then
      return nil, "a payload length in 2 bytes must be 126 or more"
    end
    return length
  end
  if byte(text, position) >= 128 then
    return nil, "the highest bit of a payload length must be 0"
  end
  local length = 0
  for i = position, position + 7 do
    length = length * 256 + byte(text, i) -- rounded above 2^53, far above every limit
  end
  if length < 65536 then
    return nil, "a payload length in 8 bytes must be 65,536 or more"
  end
  return length
end

local Decoder = {}
Decoder.__index = Decoder

--- Makes a decoder of the frames of one client.
function frame.decoder()
  return setmetatable({
    buffer = "",
    position = 1, -- of the first byte in `buffer` that is not consumed
    missing = 0, -- bytes of a data frame's payload that are still to be returned
    mask = nil, -- theirs, from the first of them on
    fin = nil, -- whether they end the message
  }, Decoder)
end

--- Takes bytes as they were received, in pieces of any size.
function Decoder:feed(bytes)
  self.buffer = sub(self.buffer, self.position) .. bytes
  self.position = 1
end

--- Returns of the data frame under way what has come of it.
function Decoder:piece(opcode)
  local first, mask = self.position, self.mask
  local count = min(self.missing, #self.buffer - first + 1)
  self.position = first + count
  self.missing = self.missing - count
  self.mask = sub(mask, count % 4 + 1) .. sub(mask, 1, count % 4)
  return opcode, unmask(self.buffer, first, first + count - 1, byte(mask, 1, 4)),
    self.fin and self.missing == 0
end

--- Decodes the next frame. Not to be called again after an error.
--
-- A data frame that is not there as a whole is returned in pieces, as if it had been sent in
-- fragments: RFC 6455, section 5.4 lets intermediaries do so. Thus bad UTF-8 is noticed when it
-- comes (section 8.1), and no payload is held back.
-- @param max_payload most bytes that a data frame may carry; control frames have their own limit
-- @return opcode, payload (unmasked), whether it is the last fragment; or nil if more bytes are
--   needed; or nil, a close code, a sentence. A frame is refused as soon as its header shows why.
function Decoder:next(max_payload)
  local buffer, position = self.buffer, self.position
  local available = #buffer - position + 1
  if self.missing > 0 then
    if available == 0 then
      return nil
    end
    return self:piece(frame.CONTINUATION)
  elseif available < 2 then
    return nil
  end
  local first, second = byte(buffer, position, position + 1)
  local opcode, fin, length = first % 16, first >= 128, second % 128
  if first % 128 >= 16 then
    return nil, PROTOCOL_ERROR, "a reserved bit is set, but no extension was agreed on"
  elseif not KNOWN[opcode] then
    return nil, PROTOCOL_ERROR, ("opcode %d is reserved"):format(opcode)
  elseif second < 128 then
    return nil, PROTOCOL_ERROR, "frames from a client must be masked"
  elseif opcode >= frame.CLOSE and not fin then
    return nil, PROTOCOL_ERROR, "a control frame must not be fragmented"
  elseif opcode >= frame.CLOSE and length > frame.MAX_CONTROL_PAYLOAD then
    return nil, PROTOCOL_ERROR, "a control frame must not carry more than 125 bytes"
  end

  local extended = length == 126 and 2 or length == 127 and 8 or 0
  if available < 2 + extended then
    return nil
  end
  if extended > 0 then
    local problem
    length, problem = extended_length(buffer, position + 2, extended)
    if not length then
      return nil, PROTOCOL_ERROR, problem
    end
  end
  if opcode < frame.CLOSE and length > max_payload then
    return nil, TOO_BIG, ("a frame of %.0f bytes exceeds the %d still allowed"):format(
      length, max_payload)
  end

  local mask = position + 2 + extended
  local payload = mask + 4
  if available < payload - position then
    return nil
  elseif opcode < frame.CLOSE then
    self.position = payload
    self.missing, self.mask, self.fin = length, sub(buffer, mask, mask + 3), fin
    return self:piece(opcode)
  elseif available < payload - position + length then
    return nil
  end
  self.position = payload + length
  return opcode, unmask(buffer, payload, payload + length - 1, byte(buffer, mask, mask + 3)), true
end

return frame
