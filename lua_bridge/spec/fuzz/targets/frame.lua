--- The frame decoder: right frames are read as they were meant, wrong ones are refused with a close
-- code, and how the bytes are cut makes no difference.
local frame = require("websocket.frame")
local wire = require("spec.fuzz.wire")

--- Decodes all there is, and joins what belongs to one message. Control frames are told apart from
-- the rest: how the bytes are cut moves them within a message.
-- @return a text that tells all frames, and the error's code if there was one
local function decode(pieces, limit)
  local decoder, data, control = frame.decoder(), {}, {}
  local message = 0 -- bytes of the message under way
  for _, piece in ipairs(pieces) do
    decoder:feed(piece)
    while true do
      local opcode, payload, fin = decoder:next(limit - message)
      if not opcode then
        local code, sentence = payload, fin
        if code then
          assert((code == 1002 or code == 1009) and type(sentence) == "string", "not an error")
          return table.concat(data) .. table.concat(control), code
        end
        break
      end
      assert(type(payload) == "string" and type(fin) == "boolean", "not a frame")
      if opcode >= 8 then
        assert(fin and #payload <= 125, "a control frame in pieces, or a long one")
        control[#control + 1] = "[" .. opcode .. " " .. payload .. "]"
      else
        message = message + #payload
        assert(message <= limit, "more bytes than allowed")
        data[#data + 1] = opcode > 0 and "(" .. opcode .. ")" .. payload or payload
        if fin then
          data[#data + 1], message = ".", 0
        end
      end
    end
  end
  return table.concat(data) .. table.concat(control)
end

return function(source)
  local limit = source:one_in(8) and source:pick({ 0, 10, 126 }) or 100000
  local parts, expected, sizes = {}, { data = "", control = "" }, 0
  for i = 1, source:below(5) do
    local opcode, payload = source:below(2) + 1, source:bytes(wire.length(source))
    sizes = math.max(sizes, #payload)
    parts[i] = wire.message(source, opcode, payload, function(kind, data)
      expected.control = expected.control .. "[" .. kind .. " " .. data .. "]"
    end)
    expected.data = expected.data .. "(" .. opcode .. ")" .. payload .. "."
  end
  local bytes, known, wanted_code = table.concat(parts), sizes <= limit, nil
  if source:one_in(2) then
    local bad
    bad, wanted_code = wire.bad_frame(source, limit)
    bytes = bytes .. bad
  end
  if source:one_in(2) then
    bytes, known = source:mutate(bytes), false
  end

  local whole, code = decode({ bytes }, limit)
  local cut, cut_code = decode(source:pieces(bytes), limit)
  assert(code == cut_code, "the error depends on how the bytes are cut")
  assert(whole == cut, "frames depend on how the bytes are cut")
  if known then
    assert(code == wanted_code, "right frames are refused, or a wrong one is not")
    assert(whole == expected.data .. expected.control, "right frames are misread")
  end
end
