--- Bitwise and, exclusive or, on 32-bit numbers.
-- FCEUX and LuaJIT have them built in as `bit`; plain Lua 5.1 has not, and gets them by arithmetic.
-- Results are right modulo 2^32: the built-in ones may be negative.
local native = rawget(_G, "bit")
if not native then
  local found, module = pcall(require, "bit")
  native = found and module
end
if native then
  return { band = native.band, bxor = native.bxor }
end

local WORD = 4294967296

--- Makes a 32-bit operation from one on single bits, four bits at a time.
local function operation(on_bits)
  local results = {}
  for a = 0, 15 do
    for b = 0, 15 do
      local result, x, y, weight = 0, a, b, 1
      while weight < 16 do
        result = result + on_bits(x % 2, y % 2) * weight
        x, y, weight = math.floor(x / 2), math.floor(y / 2), weight * 2
      end
      results[a * 16 + b] = result
    end
  end
  return function(a, b)
    a, b = a % WORD, b % WORD
    local result, weight = 0, 1
    while a > 0 or b > 0 do
      local x, y = a % 16, b % 16
      result = result + results[x * 16 + y] * weight
      a, b, weight = (a - x) / 16, (b - y) / 16, weight * 16
    end
    return result
  end
end

return {
  band = operation(function(x, y) return x * y end),
  bxor = operation(function(x, y) return (x + y) % 2 end),
}
