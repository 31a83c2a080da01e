--- Choices for the fuzz targets, drawn from a seed, and the same everywhere, unlike math.random's.
local source = {}

local MODULUS, MULTIPLIER = 2147483647, 48271 -- Park and Miller's generator; exact in doubles
local byte, char, floor, sub = string.byte, string.char, math.floor, string.sub

-- Bytes that mean something to one of the parsers, or lie at the edge of a range.
local TELLING = {}
for c in ('\0\1\9\10\13 !"#,/09:AZ[\\]{}~\125\126\127\128\129\130\136\137\138\143\144\159\160\191'
  .. "\192\193\194\223\224\237\239\240\244\245\254\255"):gmatch(".") do
  TELLING[#TELLING + 1] = byte(c)
end

local Source = {}
Source.__index = Source

--- @param seed a whole number from 0 on
function source.new(seed)
  local self = setmetatable({ state = (seed * 7919 + 1) % MODULUS }, Source)
  for _ = 1, 3 do -- away from the seeds beside this one
    self:below(1)
  end
  return self
end

--- A whole number from 0 to `limit` - 1.
function Source:below(limit)
  self.state = self.state * MULTIPLIER % MODULUS
  return floor(self.state / MODULUS * limit)
end

--- True once in `count` times.
function Source:one_in(count)
  return self:below(count) == 0
end

function Source:pick(list)
  return list[self:below(#list) + 1]
end

function Source:byte()
  return self:one_in(2) and self:pick(TELLING) or self:below(256)
end

function Source:bytes(count)
  local bytes = {}
  for i = 1, count do
    bytes[i] = char(self:byte())
  end
  return table.concat(bytes)
end

--- Changes some bytes here and there: puts in, takes away, overwrites, doubles, cuts off.
function Source:mutate(text)
  for _ = 0, self:below(4) do
    local from = self:below(#text + 1) -- bytes that stay before the change
    local count = self:below(8)
    local kind = self:below(6)
    if kind == 0 then
      text = sub(text, 1, from) .. self:bytes(count) .. sub(text, from + 1)
    elseif kind == 1 then
      text = sub(text, 1, from) .. sub(text, from + count + 1)
    elseif kind == 2 then
      text = sub(text, 1, from + count) .. sub(text, from + 1)
    elseif kind == 3 and self:one_in(4) then
      text = sub(text, 1, from)
    else
      text = sub(text, 1, from) .. char(self:byte()) .. sub(text, from + 2)
    end
  end
  return text
end

--- Cuts a text into pieces of any size, some of them empty.
-- @return a list
function Source:pieces(text)
  local pieces, position = {}, 1
  local longest = self:pick({ 1, 3, 20, #text + 1 })
  while position <= #text do
    local count = self:below(longest + 1)
    pieces[#pieces + 1] = sub(text, position, position + count - 1)
    position = position + count
  end
  return pieces
end

return source
