--- Checks UTF-8 (RFC 3629) that may arrive in pieces.
local byte, find, sub = string.byte, string.find, string.sub

local utf8 = {}

local NOT_ASCII = "[\128-\255]"

--- Length of the sequence that a byte starts, and the range its second byte must lie in.
-- The ranges keep out overlong forms, surrogates, and all above U+10FFFF (RFC 3629, section 4).
-- @return nothing if no sequence starts with this byte
local function sequence(lead)
  if lead < 0xC2 then
    return nil -- a continuation byte, or an overlong form
  elseif lead < 0xE0 then
    return 2, 0x80, 0xBF
  elseif lead < 0xF0 then
    return 3, lead == 0xE0 and 0xA0 or 0x80, lead == 0xED and 0x9F or 0xBF
  elseif lead < 0xF5 then
    return 4, lead == 0xF0 and 0x90 or 0x80, lead == 0xF4 and 0x8F or 0xBF
  end
  return nil
end

--- Checks text as far as it goes.
-- @return nil if it can never become valid, else the incomplete sequence at its end (at most 3
--   bytes, "" if there is none), to be put before the text that follows
function utf8.scan(text)
  local position = find(text, NOT_ASCII)
  while position do
    local length, low, high = sequence(byte(text, position))
    if not length then
      return nil
    end
    for i = position + 1, position + length - 1 do
      local continuation = byte(text, i)
      if not continuation then
        return sub(text, position)
      elseif continuation < low or continuation > high then
        return nil
      end
      low, high = 0x80, 0xBF
    end
    position = find(text, NOT_ASCII, position + length)
  end
  return ""
end

--- Cuts valid text to at most `limit` bytes, between two characters.
function utf8.truncate(text, limit)
  if #text <= limit then
    return text
  end
  while limit > 0 and find(text, "^[\128-\191]", limit + 1) do
    limit = limit - 1
  end
  return sub(text, 1, limit)
end

return utf8
