local sha1 = require("websocket.sha1")

--- Digests of so many "a", on both sides of every change in the number of padded blocks.
local REPEATED = {
  [0] = "da39a3ee5e6b4b0d3255bfef95601890afd80709",
  [1] = "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8",
  [55] = "c1c8bbdc22796e28c0e15163d20899b65621d65a",
  [56] = "c2db330f6083854c99d4b5bfb6e8f29f201be699",
  [57] = "f08f24908d682555111be7ff6f004e78283d989a",
  [63] = "03f09f5b158a7a8cdad920bddc29b81c18a551f5",
  [64] = "0098ba824b5c16427bd7a1122a5a442a25ec644d",
  [65] = "11655326c708d70319be2610e8a57d9a5b959d3b",
  [119] = "ee971065aaa017e0632a8ca6c77bb3bf8b1dfc56",
  [120] = "f34c1488385346a55709ba056ddd08280dd4c6d6",
  [1000] = "291e9a6c66994949b57ba5e650361e98fc36b1ba",
}

local function hex(text)
  return (sha1.digest(text):gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

describe("sha1", function()
  it("gives the digests of FIPS 180's and RFC 3174's examples", function()
    assert.are.equal("a9993e364706816aba3e25717850c26c9cd0d89d", hex("abc"))
    assert.are.equal("84983e441c3bd26ebaae4aa1f95129e5e54670f1",
      hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"))
    assert.are.equal("dea356a2cddd90c7a7ecedc5ebb563934f460452",
      hex(("0123456701234567012345670123456701234567012345670123456701234567"):rep(10)))
  end)

  for count, digest in pairs(REPEATED) do
    it(("pads a message of %d bytes"):format(count), function()
      assert.are.equal(digest, hex(("a"):rep(count)))
    end)
  end

  it("takes every byte value, zero included", function()
    local bytes = {}
    for value = 0, 255 do
      bytes[#bytes + 1] = string.char(value)
    end
    assert.are.equal("4916d6bdb7f78e6803698cab32d1586ea457dfc8", hex(table.concat(bytes)))
  end)

  it("returns 20 raw bytes", function()
    assert.are.equal(20, #sha1.digest("abc"))
    assert.are.equal("\169\153\62", sha1.digest("abc"):sub(1, 3))
  end)
end)
