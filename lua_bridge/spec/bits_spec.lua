describe("bits", function()
  local function load_bits(native)
    local before, loaded = rawget(_G, "bit"), package.loaded["websocket.bits"]
    rawset(_G, "bit", native)
    package.loaded["websocket.bits"] = nil
    local bits = require("websocket.bits")
    package.loaded["websocket.bits"] = loaded
    rawset(_G, "bit", before)
    return bits
  end

  it("uses FCEUX's own operations where they are there", function()
    local native = { band = function() end, bxor = function() end }
    local bits = load_bits(native)
    assert.are.equal(native.band, bits.band)
    assert.are.equal(native.bxor, bits.bxor)
  end)

  it("gives the truth tables, bit for bit", function()
    local bits = require("websocket.bits")
    assert.are.equal(0x8, bits.band(0xC, 0xA) % 2 ^ 32)
    assert.are.equal(0x6, bits.bxor(0xC, 0xA) % 2 ^ 32)
  end)

  it("covers all 32 bits", function()
    local bits = require("websocket.bits")
    assert.are.equal(0x12345678, bits.band(0x12345678, 0xFFFFFFFF) % 2 ^ 32)
    assert.are.equal(0xEDCBA987, bits.bxor(0x12345678, 0xFFFFFFFF) % 2 ^ 32)
    assert.are.equal(0x80000000, bits.band(0xFFFFFFFF, 0x80000000) % 2 ^ 32)
  end)

  it("takes negative numbers as their two's complement, as FCEUX's results are", function()
    local bits = require("websocket.bits")
    assert.are.equal(0xFF00FF00, bits.bxor(-1, 0x00FF00FF) % 2 ^ 32)
    assert.are.equal(0xFFFFFFFE, bits.band(-2, 0xFFFFFFFF) % 2 ^ 32)
  end)
end)
