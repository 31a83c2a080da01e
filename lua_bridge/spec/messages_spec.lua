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

  it("refuses what follows or precedes a request", function()
    for _, text in ipairs({ '{"id":1,"type":"hello"}{', '{"id":1,"type":"hello"} x',
      '/* note */ {"id":1,"type":"hello"}', '\239\187\191{"id":1,"type":"hello"}' }) do
      local request, err = messages.decode(text)
      assert.is_nil(request)
      assert.is_truthy(err:find("precedes or follows", 1, true), err)
    end
    assert.is_truthy(messages.decode(' {"id":1,"type":"hello"}\r\n'))
  end)

  it("names a long value by its beginning, and one that is no UTF-8 in ASCII", function()
    local _, err = messages.decode(('{"id":1,"type":"%s"}'):format(("long"):rep(10000)))
    assert.is_truthy(#err < 100 and err:find("longlong", 1, true), err)
    _, err = messages.decode('{"id":1,"type":"a\\ud800\\u0000b"}')
    assert.are.equal("unknown 'type' a????b", err)
    _, err = messages.decode('{"id":1,"type":"hello","\\ud800":1}')
    assert.are.equal("'hello' has no field '???'", err)
    _, err = messages.decode('{"id":[1],"type":"hello"}')
    assert.is_truthy(err:find("got an array or object", 1, true), err)
    _, err = messages.decode('{"id":1}')
    assert.are.equal("unknown 'type' nothing", err)
  end)
end)
