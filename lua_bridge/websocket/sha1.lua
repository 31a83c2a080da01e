--- SHA-1 (FIPS 180-4, section 6.1). The WebSocket handshake needs it; nothing secret rests on it.
local bits = require("websocket.bits")

local band, bxor = bits.band, bits.bxor
local byte, char, floor = string.byte, string.char, math.floor

local sha1 = {}

local WORD = 4294967296

local function rotate_left(x, count)
  -- exact in doubles: both products and quotients are by powers of two
  return x * 2 ^ count % WORD + floor(x / 2 ^ (32 - count))
end

local function from_word(x)
  return char(floor(x / 16777216), floor(x / 65536) % 256, floor(x / 256) % 256, x % 256)
end

--- Appends a one bit, zeros, and the length in bits as 64-bit number (section 5.1.1).
local function pad(text)
  local length = #text * 8
  return text .. "\128" .. ("\0"):rep((55 - #text) % 64)
    .. from_word(floor(length / WORD)) .. from_word(length % WORD)
end

--- Returns the 20 bytes of the digest of a string.
function sha1.digest(text)
  local message = pad(text)
  local h0, h1, h2, h3, h4 = 0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0
  local schedule = {}
  for block = 1, #message, 64 do
    for t = 0, 15 do
      local b1, b2, b3, b4 = byte(message, block + t * 4, block + t * 4 + 3)
      schedule[t] = b1 * 16777216 + b2 * 65536 + b3 * 256 + b4
    end
    for t = 16, 79 do
      local mixed = bxor(bxor(schedule[t - 3], schedule[t - 8]),
        bxor(schedule[t - 14], schedule[t - 16]))
      schedule[t] = rotate_left(mixed % WORD, 1)
    end
    local a, b, c, d, e = h0, h1, h2, h3, h4
    for t = 0, 79 do
      local f, k
      if t < 20 then
        f, k = bxor(d, band(b, bxor(c, d))), 0x5A827999 -- choose
      elseif t < 40 then
        f, k = bxor(bxor(b, c), d), 0x6ED9EBA1 -- parity
      elseif t < 60 then
        f, k = band(b, c) + band(d, bxor(b, c)), 0x8F1BBCDC -- majority; no bit is in both terms
      else
        f, k = bxor(bxor(b, c), d), 0xCA62C1D6
      end
      local sum = (rotate_left(a, 5) + f + e + k + schedule[t]) % WORD
      a, b, c, d, e = sum, a, rotate_left(b, 30), c, d
    end
    h0, h1, h2 = (h0 + a) % WORD, (h1 + b) % WORD, (h2 + c) % WORD
    h3, h4 = (h3 + d) % WORD, (h4 + e) % WORD
  end
  return from_word(h0) .. from_word(h1) .. from_word(h2) .. from_word(h3) .. from_word(h4)
end

return sha1
