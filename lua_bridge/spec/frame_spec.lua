local client = require("spec.client")
local frame = require("websocket.frame")

local LIMIT = 100000

--- Decodes all frames of some bytes.
-- @return list of { opcode, payload, fin }, and the close code and sentence of an error
local function decode(bytes, piece, limit)
  local decoder, frames = frame.decoder(), {}
  for start = 1, #bytes, piece or math.max(#bytes, 1) do
    decoder:feed(bytes:sub(start, start + (piece or #bytes) - 1))
    while true do
      local opcode, payload, fin = decoder:next(limit or LIMIT)
      if not opcode then
        if payload then
          return frames, payload, fin
        end
        break
      end
      frames[#frames + 1] = { opcode, payload, fin }
    end
  end
  return frames
end

--- Joins the fragments of each message.
-- @return list of { opcode, payload }, each where its last byte came
local function join(frames)
  local joined, opcode, fragments = {}, nil, nil
  for _, one in ipairs(frames) do
    if one[1] >= 8 then
      joined[#joined + 1] = { one[1], one[2] }
    else
      if not opcode then
        opcode, fragments = one[1], {}
      end
      fragments[#fragments + 1] = one[2]
      if one[3] then
        joined[#joined + 1] = { opcode, table.concat(fragments) }
        opcode = nil
      end
    end
  end
  return joined
end

--- The shortest beginning of some bytes that is refused.
local function refused_after(bytes, limit)
  for count = 1, #bytes do
    local _, code = decode(bytes:sub(1, count), nil, limit)
    if code then
      return count, code
    end
  end
end

describe("a frame decoder (RFC 6455, section 5)", function()
  it("reads the masked text of section 5.7", function()
    local frames = decode("\129\133\55\250\33\61\127\159\77\81\88")
    assert.are.same({ { 1, "Hello", true } }, frames)
  end)

  local lengths = { 0, 1, 3, 4, 5, 125, 126, 127, 1023, 1024, 1025, 65535, 65536, 70001 }
  for _, length in ipairs(lengths) do
    it(("reads a payload of %d bytes"):format(length), function()
      local payload = ("\0\1abcdefg\255"):rep(length / 10 + 1):sub(1, length)
      assert.are.same({ { 2, payload, true } }, (decode(client.frame(2, payload))))
    end)
  end

  it("reads frames of all kinds fed byte by byte", function()
    local bytes = client.frame(1, "ab", { fin = false }) .. client.frame(9, "p")
      .. client.frame(0, ("c"):rep(200)) .. client.frame(10, "") .. client.frame(8, "\3\232")
    assert.are.same({
      { 9, "p" },
      { 1, "ab" .. ("c"):rep(200) },
      { 10, "" },
      { 8, "\3\232" },
    }, join(decode(bytes, 1)))
  end)

  it("reads the same whatever the size of the pieces", function()
    local bytes = {}
    for length = 0, 300, 7 do
      bytes[#bytes + 1] = client.frame(2, ("0123456789"):rep(30):sub(1, length))
    end
    bytes = table.concat(bytes)
    local whole = join(decode(bytes))
    assert.are.equal(43, #whole)
    for _, piece in ipairs({ 1, 2, 3, 5, 13, 64, 1000 }) do
      assert.are.same(whole, join(decode(bytes, piece)))
    end
  end)

  it("gives of a data frame what has come, as a fragment (section 5.4)", function()
    local decoder, bytes = frame.decoder(), client.frame(1, "Hello, world")
    decoder:feed(bytes:sub(1, 6))
    assert.are.same({ 1, "", false }, { decoder:next(LIMIT) })
    assert.are.same({}, { decoder:next(LIMIT) })
    decoder:feed(bytes:sub(7, 9))
    assert.are.same({ 0, "Hel", false }, { decoder:next(LIMIT) })
    decoder:feed(bytes:sub(10) .. client.frame(2, "next"))
    assert.are.same({ 0, "lo, world", true }, { decoder:next(LIMIT) })
    assert.are.same({ 2, "next", true }, { decoder:next(LIMIT) })
  end)

  it("gives a data frame in pieces without its end, where it is not the last", function()
    local decoder, bytes = frame.decoder(), client.frame(2, "ab", { fin = false })
    decoder:feed(bytes:sub(1, 7))
    assert.are.same({ 2, "a", false }, { decoder:next(LIMIT) })
    decoder:feed(bytes:sub(8))
    assert.are.same({ 0, "b", false }, { decoder:next(LIMIT) })
  end)

  it("gives a control frame as a whole (section 5.5)", function()
    local decoder, bytes = frame.decoder(), client.frame(9, "ping")
    decoder:feed(bytes:sub(1, -2))
    assert.are.same({}, { decoder:next(LIMIT) })
    decoder:feed(bytes:sub(-1))
    assert.are.same({ 9, "ping", true }, { decoder:next(LIMIT) })
  end)

  it("unmasks with any mask, zero included (section 5.3)", function()
    for _, mask in ipairs({ "\0\0\0\0", "\255\255\255\255", "\1\2\3\4" }) do
      assert.are.same({ { 1, "Hello, world", true } },
        (decode(client.frame(1, "Hello, world", { mask = mask }))))
    end
  end)

  local wrong = {
    ["a frame without a mask (section 5.1)"] = client.frame(1, "Hello", { mask = false }),
    ["the first reserved bit (section 5.2)"] = client.frame(1, "", { rsv = 4 }),
    ["the second reserved bit (section 5.2)"] = client.frame(1, "", { rsv = 2 }),
    ["the third reserved bit (section 5.2)"] = client.frame(1, "", { rsv = 1 }),
    ["a fragmented ping (section 5.5)"] = client.frame(9, "", { fin = false }),
    ["a fragmented close (section 5.5)"] = client.frame(8, "", { fin = false }),
    ["a ping of 126 bytes (section 5.5)"] = client.frame(9, ("x"):rep(126)),
    ["a close of 70,000 bytes (section 5.5)"] = client.frame(8, ("x"):rep(70000)),
  }
  for opcode = 3, 7 do
    wrong[("the reserved opcode %d (section 5.2)"):format(opcode)] = client.frame(opcode, "")
  end
  for opcode = 11, 15 do
    wrong[("the reserved opcode %d (section 5.2)"):format(opcode)] = client.frame(opcode, "")
  end
  for name, bytes in pairs(wrong) do
    it("refuses with 1002, after two bytes, " .. name, function()
      local count, code = refused_after(bytes)
      assert.are.equal(1002, code)
      assert.are.equal(2, count)
    end)
  end

  it("accepts a control frame of 125 bytes (section 5.5)", function()
    local frames, code = decode(client.frame(9, ("x"):rep(125)))
    assert.is_nil(code)
    assert.are.equal(125, #frames[1][2])
  end)

  it("refuses with 1002 lengths that fit a shorter form (section 5.2)", function()
    for _, case in ipairs({ { 0, 16 }, { 125, 16 }, { 125, 64 }, { 126, 64 }, { 65535, 64 } }) do
      local length, form = case[1], case[2]
      local count, code = refused_after(client.frame(2, ("x"):rep(length), { form = form }))
      assert.are.equal(1002, code)
      assert.are.equal(2 + form / 8, count)
    end
  end)

  it("refuses with 1002 a length with the highest bit set (section 5.2)", function()
    local _, code = decode("\130\255\128" .. ("\0"):rep(7))
    assert.are.equal(1002, code)
  end)

  it("refuses with 1009 what is too big as soon as the length is known", function()
    local count, code = refused_after(client.frame(2, ("x"):rep(11)), 10)
    assert.are.same({ 2, 1009 }, { count, code })
    count, code = refused_after(client.frame(2, ("x"):rep(201)), 200)
    assert.are.same({ 4, 1009 }, { count, code })
    count, code = refused_after(client.frame(2, "", { length = 2 ^ 62, form = 64 }))
    assert.are.same({ 10, 1009 }, { count, code })
  end)

  it("accepts a payload of exactly the limit, and an empty one where nothing more is allowed",
    function()
      local _, code = decode(client.frame(2, ("x"):rep(10)), nil, 10)
      assert.is_nil(code)
      _, code = decode(client.frame(0, ""), nil, 0)
      assert.is_nil(code)
    end)

  it("holds a frame to the limit once, where its header is read", function()
    local decoder, bytes = frame.decoder(), client.frame(2, "0123456789")
    decoder:feed(bytes:sub(1, 10))
    assert.are.equal("0123", (select(2, decoder:next(10))))
    decoder:feed(bytes:sub(11))
    assert.are.equal("456789", (select(2, decoder:next(6))))
  end)

  it("does not hold control frames to the limit of messages", function()
    local frames, code = decode(client.frame(9, "12345"), nil, 0)
    assert.is_nil(code)
    assert.are.equal("12345", frames[1][2])
  end)

  it("keeps the frames before an error", function()
    local frames, code = decode(client.frame(1, "good") .. client.frame(3, "bad"))
    assert.are.same({ { 1, "good", true } }, frames)
    assert.are.equal(1002, code)
  end)
end)

describe("frame.header (RFC 6455, section 5.2)", function()
  it("gives the headers of section 5.7", function()
    assert.are.equal("\129\5", frame.header(frame.TEXT, 5))
    assert.are.equal("\128\2", frame.header(frame.CONTINUATION, 2))
    assert.are.equal("\130\126\1\0", frame.header(frame.BINARY, 256))
    assert.are.equal("\130\127\0\0\0\0\0\1\0\0", frame.header(frame.BINARY, 65536))
  end)

  it("takes the shortest form on both sides of each change", function()
    assert.are.equal("\130\125", frame.header(2, 125))
    assert.are.equal("\130\126\0\126", frame.header(2, 126))
    assert.are.equal("\130\126\255\255", frame.header(2, 65535))
    assert.are.equal("\130\127" .. client.big_endian(247808, 8), frame.header(2, 247808))
  end)
end)
