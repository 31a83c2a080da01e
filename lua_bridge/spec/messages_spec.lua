local json = require("dkjson")
local messages = require("messages")

local function vectors()
  local file = assert(io.open("tests/vectors/protocol.json"))
  local text = file:read("*a")
  file:close()
  return assert(json.decode(text))
end

local function hex(bytes)
  return (bytes:gsub(".", function(byte) return ("%02x"):format(byte:byte()) end))
end

describe("messages", function()
  local golden = vectors()

  for _, request in ipairs(golden.requests) do
    it("reads the golden request: " .. request.name, function()
      assert.are.same(request.fields, (assert(messages.decode(request.text))))
    end)
  end

  for _, bad in ipairs(golden.bad_requests) do
    it("refuses, naming what is wrong: " .. bad.name, function()
      local request, err, id = messages.decode(bad.text)
      assert.is_nil(request)
      assert.is_truthy(err:find(bad.says, 1, true), err)
      assert.are.equal(bad.id, id)
    end)
  end

  for _, state in ipairs(golden.states) do
    it("writes the golden header: " .. state.name, function()
      local header = messages.state_header(state.fields)
      assert.are.equal(messages.HEADER_BYTES, #header)
      assert.are.equal(state.hex, hex(header))
    end)
  end

  it("answers repeat the id and carry the fields", function()
    assert.are.same({ id = 7, type = "save", slot = 3 },
      json.decode(messages.answer(7, "save", { slot = 3 })))
    assert.are.same({ id = 8, type = "error", code = "refused", message = "why" },
      json.decode(messages.error(8, "refused", "why")))
  end)

  it("refuses text nested as deep as a message may be long", function()
    local request, err = messages.decode(("["):rep(65536))
    assert.is_nil(request)
    assert.is_truthy(err:find("not a JSON object", 1, true))
  end)

  it("survives any bytes as a request", function()
    math.randomseed(1)
    for _ = 1, 2000 do
      local bytes = {}
      for i = 1, math.random(0, 40) do
        bytes[i] = string.char(math.random(0, 255))
      end
      assert.is_nil((messages.decode(table.concat(bytes))))
    end
  end)
end)
