--- utf8.scan against the definition of UTF-8 (RFC 3629, section 3), computed another way.
local utf8 = require("websocket.utf8")

local char, floor, sub = string.char, math.floor, string.sub

local LEAST = { 0, 0x80, 0x800, 0x10000, 0x110000 } -- code points that need 1 to 4 bytes; the end
local EDGES = { 0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xD800, 0xDFFF, 0xE000, 0xFFFF, 0x10000, 0x10FFFF,
  0x110000, 0x1FFFFF }

--- Writes a code point in a number of bytes, which may be more than it needs.
local function encode(point, length)
  if length == 1 then
    return char(point)
  end
  local bytes = ""
  for _ = 2, length do
    bytes = char(0x80 + point % 64) .. bytes
    point = floor(point / 64)
  end
  return char(256 - 2 ^ (8 - length) + point) .. bytes
end

--- Length of the valid sequence at the start of a text, or nil.
local function first_length(text)
  local lead = text:byte()
  local length = lead < 0x80 and 1 or lead < 0xC0 and 5 or lead < 0xE0 and 2 or lead < 0xF0 and 3
    or lead < 0xF8 and 4 or 5
  if length > 4 or #text < length then
    return nil
  end
  local point = length == 1 and lead or lead % 2 ^ (7 - length)
  for i = 2, length do
    local continuation = text:byte(i)
    if continuation < 0x80 or continuation > 0xBF then
      return nil
    end
    point = point * 64 + continuation % 64
  end
  if point < LEAST[length] or point > 0x10FFFF or (point >= 0xD800 and point <= 0xDFFF) then
    return nil
  end
  return length
end

--- Whether up to three more bytes can make a valid sequence of a text.
local function can_be_completed(text)
  local edges = { "\128", "\143", "\144", "\159", "\160", "\191" } -- of the second byte's ranges
  local grown = { text }
  for _ = 1, 3 do
    local longer = {}
    for _, start in ipairs(grown) do
      for _, edge in ipairs(edges) do
        if first_length(start .. edge) == #start + 1 then
          return true
        end
        longer[#longer + 1] = start .. edge
      end
    end
    grown = longer
  end
  return false
end

--- What `utf8.scan` must return.
local function expected(text)
  local position = 1
  while position <= #text do
    local length = first_length(sub(text, position))
    if not length then
      local rest = sub(text, position)
      return #rest < 4 and can_be_completed(rest) and rest or nil
    end
    position = position + length
  end
  return ""
end

return function(source)
  local parts = {}
  for i = 1, source:below(8) do
    local length = source:below(4) + 1
    local point = LEAST[length] + source:below(LEAST[length + 1] - LEAST[length])
    if source:one_in(4) then
      point = source:pick(EDGES)
      length = point < LEAST[2] and 1 or point < LEAST[3] and 2 or point < LEAST[4] and 3 or 4
    end
    if source:one_in(20) then
      length = math.min(length + 1, 4) -- an overlong form
    end
    parts[i] = encode(point, length)
  end
  local text = table.concat(parts)
  if source:one_in(2) then
    text = source:mutate(text)
  end
  local wanted, tail = expected(text), utf8.scan(text)
  assert(tail == wanted, ("scan gave %q, expected %q"):format(tostring(tail), tostring(wanted)))

  local in_pieces = ""
  for _, piece in ipairs(source:pieces(text)) do
    in_pieces = in_pieces and utf8.scan(in_pieces .. piece)
  end
  assert(in_pieces == tail, "scan depends on how the text is cut")

  if tail == "" then
    local limit = source:below(#text + 3)
    local cut = utf8.truncate(text, limit)
    assert(#cut <= limit and #cut > limit - 4 or cut == text, "truncate's length")
    assert(sub(text, 1, #cut) == cut and utf8.scan(cut) == "", "truncate's text")
  end
end
