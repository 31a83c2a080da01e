--- The strip that says which frame a picture shows, for those who see only the screen.
--
-- 64 cells of 4x8 pixels, black for 0 and white for 1: the frame's id and a check code, 32 bits
-- each, highest bit first. It stands in the picture's first 8 lines and again in its last 8.
--
-- The code is the CRC-32 of four big-endian u32: the launch's key, the frame's id, and two sums
-- over the picture between the strips, modulo 2^32. Every 8th pixel of every 8th line counts as
-- R * 65536 + G * 256 + B; one sum adds these numbers, the other adds the first sum after each.
-- So a window that hides more than 8x8 pixels of the picture shows, as does a mix of two frames.
--
-- Twin of sb3_mario/emulator/strip.py; tests/vectors/strip.json holds both together.
local bits = require("websocket.bits")

local strip = {}

strip.LINES = 8

local WIDTH, HEIGHT = 256, 240
local CELL = 4 -- pixels
local GRID = 8 -- pixels from one that counts to the next
local FIRST_X, FIRST_Y = GRID / 2, strip.LINES + GRID / 2
local WORD = 4294967296
local POLYNOMIAL = 0xEDB88320

local floor = math.floor
local band, bxor = bits.band, bits.bxor

local crc_table = {}
for index = 0, 255 do
  local value = index
  for _ = 1, 8 do
    value = value % 2 == 1 and bxor(floor(value / 2), POLYNOMIAL) % WORD or value / 2
  end
  crc_table[index] = value
end

local function crc32(words)
  local crc = WORD - 1
  for _, word in ipairs(words) do
    for _, weight in ipairs({ 16777216, 65536, 256, 1 }) do
      local byte = floor(word / weight) % 256
      crc = bxor(crc_table[band(bxor(crc, byte), 255)], floor(crc / 256)) % WORD
    end
  end
  return WORD - 1 - crc
end

-- Four cells as pixels in gd's format (0 for opaque, R, G, B), by their bits.
local QUARTETS = {}
for value = 0, 15 do
  local cells = ""
  for _, weight in ipairs({ 8, 4, 2, 1 }) do
    local bit = floor(value / weight) % 2
    cells = cells .. (bit == 1 and "\0\255\255\255" or "\0\0\0\0"):rep(CELL)
  end
  QUARTETS[value] = cells
end

-- A true-colour image of 256x8 pixels without a transparent colour.
local GD_HEADER = "\255\254\1\0\0\8\1\255\255\255\255"

--- The code of a frame.
-- @param key the launch's, 0 to 2^32 - 1
-- @param pixel function(x, y, true) that returns red, green and blue of the game's own picture
function strip.code(key, frame_id, pixel)
  local sum, sum_of_sums = 0, 0
  for y = FIRST_Y, HEIGHT - strip.LINES - 1, GRID do
    for x = FIRST_X, WIDTH - 1, GRID do
      local red, green, blue = pixel(x, y, true)
      sum = sum + red * 65536 + green * 256 + blue
      sum_of_sums = sum_of_sums + sum
    end
  end
  return crc32({ key, frame_id, sum % WORD, sum_of_sums % WORD })
end

--- The strip as gd image.
function strip.image(frame_id, code)
  local cells = {}
  for _, word in ipairs({ frame_id, code }) do
    for digit = 7, 0, -1 do
      cells[#cells + 1] = QUARTETS[floor(word / 16 ^ digit) % 16]
    end
  end
  return GD_HEADER .. table.concat(cells):rep(strip.LINES)
end

return strip
