local utf8 = require("websocket.utf8")

describe("utf8.scan (RFC 3629)", function()
  local valid = {
    [""] = "nothing",
    ["plain"] = "ASCII",
    ["\0\127"] = "ASCII's ends",
    ["\194\128"] = "U+0080",
    ["\223\191"] = "U+07FF",
    ["\224\160\128"] = "U+0800",
    ["\237\159\191"] = "U+D7FF, before the surrogates",
    ["\238\128\128"] = "U+E000, after the surrogates",
    ["\239\191\191"] = "U+FFFF",
    ["\240\144\128\128"] = "U+10000",
    ["\244\143\191\191"] = "U+10FFFF",
    ["a\195\164\226\130\172b\240\159\141\132c"] = "a mixture",
  }
  for text, name in pairs(valid) do
    it("accepts " .. name, function()
      assert.are.equal("", utf8.scan(text))
    end)
  end

  local invalid = {
    ["\128"] = "a continuation byte alone",
    ["a\191"] = "a continuation byte after ASCII",
    ["\192\128"] = "NUL in two bytes",
    ["\193\191"] = "U+007F in two bytes",
    ["\224\159\191"] = "U+07FF in three bytes",
    ["\240\143\191\191"] = "U+FFFF in four bytes",
    ["\237\160\128"] = "a high surrogate",
    ["\237\191\191"] = "a low surrogate",
    ["\244\144\128\128"] = "U+110000",
    ["\245\128\128\128"] = "a lead byte above F4",
    ["\255"] = "FF",
    ["\195a"] = "ASCII in place of a second byte",
    ["\226\130a"] = "ASCII in place of a third byte",
    ["\240\159\141a"] = "ASCII in place of a fourth byte",
    ["\195\164\164"] = "a continuation byte too many",
    ["\224\159"] = "the start of an overlong form",
    ["\237\160"] = "the start of a surrogate",
    ["\244\144"] = "the start of what lies above U+10FFFF",
  }
  for text, name in pairs(invalid) do
    it("refuses " .. name, function()
      assert.is_nil(utf8.scan(text))
    end)
  end

  it("returns what is incomplete at the end", function()
    assert.are.equal("\195", utf8.scan("ab\195"))
    assert.are.equal("\226\130", utf8.scan("\195\164\226\130"))
    assert.are.equal("\240\159\141", utf8.scan("\240\159\141"))
  end)

  it("accepts a text cut anywhere, if the rest is put behind what was left", function()
    local text = "a\195\164\226\130\172b\240\159\141\132c"
    for cut = 0, #text do
      local tail = assert(utf8.scan(text:sub(1, cut)))
      assert.are.equal("", utf8.scan(tail .. text:sub(cut + 1)))
    end
  end)
end)

describe("utf8.truncate", function()
  it("leaves short text alone", function()
    assert.are.equal("\195\164", utf8.truncate("\195\164", 2))
  end)

  it("never cuts a character in two", function()
    assert.are.equal("a\195\164", utf8.truncate("a\195\164\226\130\172", 5))
    assert.are.equal("a", utf8.truncate("a\195\164", 2))
    assert.are.equal("", utf8.truncate("\240\159\141\132", 3))
  end)
end)
