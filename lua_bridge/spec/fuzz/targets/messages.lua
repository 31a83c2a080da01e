--- messages.decode: right requests are read as they are, wrong ones refused by a sentence that can
-- be sent, with the id if there is one.
local json = require("dkjson")
local messages = require("messages")
local utf8 = require("websocket.utf8")

local MAX_ID = 4294967295
local MOST_BYTES = 400 -- of a refusal

--- Fields and their ranges, those of lua_bridge/messages.lua once more; true stands for a boolean.
local FIELDS = {
  hello = {},
  redraw = {},
  close = {},
  save = { slot = { 0, 63 } },
  load = { slot = { 0, 63 }, frame = true },
  step = { buttons = { 0, 255 }, first = { 0, 255 }, first_frames = { 0, 600 },
    ["repeat"] = { 1, 600 }, frame = true },
  reset = { world = { 1, 8 }, stage = { 1, 4 }, noops = { 0, 1000 }, whole_game = true,
    frame = true },
}
local KINDS = { "hello", "redraw", "close", "save", "load", "step", "reset" }

--- JSON texts that are right for no field.
local WRONG = { "-1", "1.5", "1e999", "99999999999", "null", "[]", "{}", "[[[1]]]", '"1"',
  '"\\ud800"', '"\\u0000\\u001f"', '"' .. ("long \195\164"):rep(300) .. '"', '"\\"\\\\"' }
local WRONG_NAMES = { "x", "", "ID", "repeat ", "\\u0000", "\\udfff", ("n"):rep(500), "\195\164" }
local SPACES = { "", "", "", " ", "\n", "\t \r" }

local function fits(rule, value)
  if rule == true then
    return type(value) == "boolean"
  end
  return type(value) == "number" and value % 1 == 0 and value >= rule[1] and value <= rule[2]
end

local function check(text, request, err, id)
  if request then
    assert(text:find("^%s*{.*}%s*$"), "something around the object is passed over")
    local fields = assert(FIELDS[request.type], "an unknown type")
    assert(fits({ 0, MAX_ID }, request.id), "a wrong id")
    for name, rule in pairs(fields) do
      assert(fits(rule, request[name]), "a wrong field")
    end
    for name in pairs(request) do
      assert(fields[name] or name == "id" or name == "type", "an unknown field")
    end
    return
  end
  assert(type(err) == "string" and fits({ 0, MAX_ID }, id), "a refusal without a sentence or an id")
  local answer = messages.error(id, "bad_message", err)
  assert(utf8.scan(answer) == "", "a refusal that is not UTF-8")
  assert(#answer <= MOST_BYTES, "a refusal as long as one likes")
  local read = assert(json.decode(answer), "a refusal that is not JSON")
  assert(read.id == id and read.type == "error" and read.message == err, "a refusal is changed")
end

--- Writes an object, its members in any order, with spaces here and there.
local function write(source, members)
  local left, parts = { unpack(members) }, {}
  while #left > 0 do
    local member = table.remove(left, source:below(#left) + 1)
    parts[#parts + 1] = source:pick(SPACES) .. '"' .. member[1] .. '":' .. source:pick(SPACES)
      .. member[2] .. source:pick(SPACES)
  end
  return source:pick(SPACES) .. "{" .. table.concat(parts, ",") .. "}" .. source:pick(SPACES)
end

return function(source)
  local kind = source:pick(KINDS)
  local id = source:one_in(4) and source:pick({ 0, 1, MAX_ID }) or source:below(100000)
  local wanted, members = { id = id, type = kind }, { { "type", '"' .. kind .. '"' } }
  for name, rule in pairs(FIELDS[kind]) do
    local value = rule == true and source:one_in(2)
    if rule ~= true then
      value = source:one_in(4) and source:pick(rule) or rule[1] + source:below(rule[2] - rule[1])
    end
    wanted[name] = value
    members[#members + 1] = { name, tostring(value), rule }
  end
  local change = source:below(6)
  if change == 0 then
    table.remove(members, source:below(#members) + 1)
  elseif change == 1 then
    local member = source:pick(members)
    local rule = member[3]
    member[2] = type(rule) == "table" and source:one_in(2)
      and source:pick({ rule[1] - 1, rule[2] + 1 }) or source:pick(WRONG)
  elseif change == 2 then
    members[#members + 1] = { source:pick(WRONG_NAMES), source:one_in(2) and "1" or '""' }
  end
  members[#members + 1] = { "id", ("%.0f"):format(id) }
  local text = write(source, members)
  local mutated = source:one_in(3)
  if mutated then
    text = source:mutate(text)
  end

  local request, err, told_id = messages.decode(text)
  check(text, request, err, told_id)
  if mutated then
    return
  elseif change < 3 then
    assert(not request, "a wrong request is taken")
    assert(told_id == id, "a refusal without the request's id")
  else
    assert(request, "a right request is refused")
    for name, value in pairs(wanted) do
      assert(request[name] == value, "a field is misread")
    end
  end
end
