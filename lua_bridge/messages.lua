--- The messages of the wire, without I/O and without the emulator.
-- Twin of sb3_mario/emulator/protocol.py; tests/vectors/protocol.json holds both together.
--
-- Requests are JSON texts `{"id": 1, "type": "step", ...}`. Answers repeat the id: JSON for
-- `hello`, `save`, `redraw`, `close` and `error`, one binary state message for `reset`, `step` and
-- `load`.
--
-- A state message is a 44-byte little-endian header, the picture where asked for (pixels of R, G,
-- B and 0), and the RAM. The header:
--   0  "SB3M"              16  u32 emulator's frame count   32  u32 bytes of RAM
--   4  u8  version         20  u32 frames advanced          36  u32 bytes of picture
--   5  u8  flags           24  u64 time in microseconds     40  u16 width of the picture
--   6  u16 header's bytes                                   42  u16 height of the picture
--   8  u32 id of the request
--   12 u32 frame id
local json = require("dkjson")

local messages = {}

messages.SUBPROTOCOL = "sb3-mario.v1"
messages.VERSION = 1
messages.MAGIC = "SB3M"
messages.HEADER_BYTES = 44
--- Bits of the header's flags.
messages.FLAG_FRAME = 1 -- a picture precedes the RAM
messages.FLAG_ENDED = 2 -- Mario died, cleared the level, or the game is over
messages.FLAG_SKIPPED = 4 -- frames without control (pipes, growing, black screens) were run

messages.MAX_NOOPS = 1000
messages.MAX_REPEAT = 600
messages.MAX_SLOTS = 64

local MAX_ID = 4294967295
local MAX_SHOWN_BYTES = 60
local floor, char = math.floor, string.char

local function is_integer(value, low, high)
  return type(value) == "number" and value == floor(value) and value >= low and value <= high
end

local function integer(low, high)
  return {
    wanted = ("a whole number from %d to %d"):format(low, high),
    fits = function(value) return is_integer(value, low, high) end,
  }
end

local boolean = {
  wanted = "true or false",
  fits = function(value) return type(value) == "boolean" end,
}

--- Fields of each request beside `id` and `type`; all of them must be there, and no other.
local REQUESTS = {
  hello = {},
  reset = {
    world = integer(1, 8),
    stage = integer(1, 4),
    noops = integer(0, messages.MAX_NOOPS),
    whole_game = boolean,
    frame = boolean,
  },
  step = {
    buttons = integer(0, 255),
    first = integer(0, 255),
    first_frames = integer(0, messages.MAX_REPEAT),
    ["repeat"] = integer(1, messages.MAX_REPEAT),
    frame = boolean,
  },
  save = { slot = integer(0, messages.MAX_SLOTS - 1) },
  load = { slot = integer(0, messages.MAX_SLOTS - 1), frame = boolean },
  redraw = {},
  close = {},
}

--- A value as a refusal names it: short, and in ASCII. It may be as long as a message and, with an
-- escape such as \ud800 in it, no UTF-8.
local function shown(value)
  if value == nil then
    return "nothing"
  elseif type(value) == "table" then
    return "an array or object"
  end
  return (tostring(value):sub(1, MAX_SHOWN_BYTES):gsub("[^ -~]", "?"))
end

--- Reads one request.
-- @return the request as a table, or nil, a sentence, and the request's id (0 if it has none).
function messages.decode(text)
  -- pcall: text nested thousands deep overflows the parser's stack
  local ok, request, rest, err = pcall(json.decode, text, 1, nil, nil, nil)
  if not ok then
    return nil, "not a JSON object: nested too deeply", 0
  end
  if type(request) ~= "table" then
    return nil, "not a JSON object: " .. tostring(err or type(request)), 0
  elseif not text:find("^%s*[{%[]") or text:find("%S", rest) then -- the parser skips comments
    return nil, "not a JSON object: something precedes or follows it", 0
  end
  local id = request.id
  if not is_integer(id, 0, MAX_ID) then
    return nil, "'id' must be a whole number from 0 to 4294967295, got " .. shown(id), 0
  end
  local fields = type(request.type) == "string" and REQUESTS[request.type]
  if not fields then
    return nil, "unknown 'type' " .. shown(request.type), id
  end
  for name, rule in pairs(fields) do
    local value = request[name]
    if not rule.fits(value) then
      return nil, ("'%s' of '%s' must be %s, got %s"):format(
        name, request.type, rule.wanted, shown(value)), id
    end
  end
  for name in pairs(request) do
    if name ~= "id" and name ~= "type" and not fields[name] then
      return nil, ("'%s' has no field '%s'"):format(request.type, shown(name)), id
    end
  end
  return request
end

--- An answer in JSON: `fields` with the request's id and a type.
function messages.answer(id, kind, fields)
  local answer = { id = id, type = kind }
  for name, value in pairs(fields or {}) do
    answer[name] = value
  end
  return json.encode(answer)
end

--- An `error` answer. `code` is a word for programs, `message` a sentence for people.
function messages.error(id, code, message)
  return messages.answer(id, "error", { code = code, message = message })
end

local function u16(value)
  return char(value % 256, floor(value / 256) % 256)
end

local function u32(value)
  return char(value % 256, floor(value / 256) % 256, floor(value / 65536) % 256,
    floor(value / 16777216) % 256)
end

--- The 44 bytes before the picture, where there is one, and the RAM.
-- @param state id, frame_id, emulator_frame, advanced, timestamp_us (all whole numbers),
--   flags, ram_bytes, frame_bytes, width, height
function messages.state_header(state)
  local time = state.timestamp_us
  return table.concat({
    messages.MAGIC,
    char(messages.VERSION, state.flags),
    u16(messages.HEADER_BYTES),
    u32(state.id),
    u32(state.frame_id),
    u32(state.emulator_frame),
    u32(state.advanced),
    u32(time % 4294967296),
    u32(floor(time / 4294967296)),
    u32(state.ram_bytes),
    u32(state.frame_bytes),
    u16(state.width),
    u16(state.height),
  })
end

return messages
