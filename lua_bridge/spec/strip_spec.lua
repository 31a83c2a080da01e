local json = require("dkjson")
local strip = require("strip")

local PICTURES = {
  black = function() return 0, 0, 0 end,
  pattern = function(x, y) return (7 * x + 13 * y) % 256, x * y % 256, (x + 2 * y) % 256 end,
}

local function vectors()
  local file = assert(io.open("tests/vectors/strip.json"))
  local text = file:read("*a")
  file:close()
  return assert(json.decode(text)).strips
end

--- The cells of one line of an image, as "0" and "1".
local function cells(image, line)
  local found = {}
  for cell = 0, 63 do
    local pixel = 12 + line * 1024 + cell * 16
    local bytes = image:sub(pixel, pixel + 15)
    assert.is_true(bytes == ("\0\0\0\0"):rep(4) or bytes == ("\0\255\255\255"):rep(4))
    found[#found + 1] = bytes:byte(2) == 255 and "1" or "0"
  end
  return table.concat(found)
end

describe("strip", function()
  for number, case in ipairs(vectors()) do
    it("is the golden strip " .. number .. ", of the picture " .. case.picture, function()
      local code = strip.code(case.key, case.frame_id, PICTURES[case.picture])
      assert.are.equal(case.code, code)
      local image = strip.image(case.frame_id, code)
      for line = 0, strip.LINES - 1 do
        assert.are.equal(case.cells, cells(image, line))
      end
    end)
  end

  it("is an image in gd's format that fills the picture's width", function()
    local image = strip.image(1, 2)
    assert.are.equal(11 + 256 * strip.LINES * 4, #image)
    assert.are.equal("\255\254\1\0\0\8\1", image:sub(1, 7))
  end)

  it("reads the game's own picture, between the strips only", function()
    local lowest, highest = 240, 0
    strip.code(0, 0, function(x, y, emulated)
      assert.is_true(emulated)
      assert.is_true(x >= 0 and x < 256)
      lowest, highest = math.min(lowest, y), math.max(highest, y)
      return 0, 0, 0
    end)
    assert.is_true(lowest >= strip.LINES and highest < 240 - strip.LINES)
  end)

  it("has another code for every pixel that counts, and for another frame or key", function()
    local seen = {}
    local function note(code)
      assert.is_nil(seen[code])
      seen[code] = true
    end
    note(strip.code(7, 1, PICTURES.black))
    note(strip.code(7, 2, PICTURES.black))
    note(strip.code(8, 1, PICTURES.black))
    for y = 12, 228, 8 do
      for x = 4, 252, 64 do
        note(strip.code(7, 1, function(at_x, at_y)
          return 0, 0, at_x == x and at_y == y and 1 or 0
        end))
      end
    end
  end)
end)
