--- Feeds a target with generated inputs, and watches memory meanwhile.
local source = require("spec.fuzz.source")

local GROWTH_BYTES = 65536 -- less is the collector's and the string table's

local function bytes_in_use()
  collectgarbage()
  collectgarbage()
  return collectgarbage("count") * 1024
end

--- Runs a target on the inputs `first` to `first + count - 1`; each number is a seed.
-- @param target function taking a source; it raises where something is not as it must be
-- @return bytes in use after a tenth of the inputs, and after all; or nil, the number of the input
--   that failed (nil if it was memory), and a sentence
return function(target, first, count)
  local early
  for i = 0, count - 1 do
    local ok, err = pcall(target, source.new(first + i))
    if not ok then
      return nil, first + i, tostring(err)
    end
    if i == math.floor(count / 10) then
      early = bytes_in_use()
    end
  end
  local late = bytes_in_use()
  if late > early + GROWTH_BYTES then
    return nil, nil, ("memory grew from %d to %d bytes"):format(early, late)
  end
  return early, late
end
