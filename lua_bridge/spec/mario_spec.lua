-- The fake stands in for FCEUX only to provoke scenes at will; tests/ drives the real one.
local WORLD, LEVEL, AREA, MODE, TASK, TIMER = 0x75F, 0x75C, 0x760, 0x770, 0x772, 0x7A0
local STATE, Y_PAGE = 0x0E, 0xB5

local ram, pressed, frames, script, shots
local mario

local function fake()
  ram, pressed, frames, shots, script = {}, {}, 0, 0, {}
  _G.memory = {
    readbyte = function(address) return ram[address] or 0 end,
    writebyte = function(address, value) ram[address] = value end,
    readbyterange = function() return ("\0"):rep(2048) end,
  }
  _G.joypad = { set = function(_, buttons) pressed[#pressed + 1] = buttons end }
  _G.gui = { gdscreenshot = function() shots = shots + 1; return "picture " .. frames end }
  _G.savestate = {
    create = function() return {} end,
    save = function(kept)
      kept.frames, kept.ram, kept.script = frames, {}, { unpack(script) }
      for address, value in pairs(ram) do kept.ram[address] = value end
    end,
    load = function(kept)
      frames, ram, script = kept.frames, {}, { unpack(kept.script) }
      for address, value in pairs(kept.ram) do ram[address] = value end
    end,
  }
  _G.emu = {
    frameadvance = function()
      frames = frames + 1
      local play = table.remove(script, 1)
      if play then
        play()
      elseif ram[MODE] == 0 or ram[MODE] == nil then
        ram[MODE], ram[TASK], ram[STATE], ram[Y_PAGE] = 0, 3, 8, 1
        if pressed[#pressed].start then
          ram[MODE], ram[TASK], ram[STATE] = 1, 0, 0
          script = {
            function() ram[TASK] = 1 end,
            function() ram[TASK] = 3; ram[STATE] = 7 end,
            function() ram[STATE] = 8 end,
          }
        end
      end
    end,
  }
end

local function set(values)
  return function()
    for address, value in pairs(values) do ram[address] = value end
  end
end

describe("mario", function()
  before_each(function()
    fake()
    package.loaded.mario = nil
    mario = require("mario")
    mario.boot()
  end)

  after_each(function()
    package.loaded.mario = nil
    _G.memory, _G.joypad, _G.gui, _G.savestate, _G.emu = nil, nil, nil, nil, nil
  end)

  it("refuses a step or save before the first reset", function()
    local advanced, err = mario.step(0, 4)
    assert.is_nil(advanced)
    assert.is_truthy(err:find("'reset' first", 1, true))
    assert.is_nil((mario.save(0)))
  end)

  it("starts the level asked for, and presses start for a single frame", function()
    pressed = {}
    assert.are.equal(0, (mario.reset(8, 4, 0, false)))
    assert.are.equal(7, ram[WORLD])
    assert.are.equal(3, ram[LEVEL])
    assert.are.equal(3, ram[AREA])
    local starts = 0
    for _, buttons in ipairs(pressed) do
      starts = starts + (buttons.start and 1 or 0)
    end
    assert.are.equal(1, starts)
  end)

  it("counts the intro of worlds 1, 2, 4 and 7 as an area of its own", function()
    mario.reset(1, 2, 0, false)
    assert.are.equal(2, ram[AREA])
    mario.reset(3, 2, 0, false)
    assert.are.equal(1, ram[AREA])
    mario.reset(1, 1, 0, false)
    assert.are.equal(0, ram[AREA])
  end)

  it("comes back to a started level without running frames", function()
    mario.reset(1, 1, 0, false)
    local before = #pressed
    mario.reset(1, 1, 0, false)
    assert.are.equal(before, #pressed)
  end)

  it("lets no-op frames pass without a button", function()
    mario.reset(1, 1, 0, false)
    pressed = {}
    assert.are.equal(5, (mario.reset(1, 1, 5, false)))
    assert.are.equal(5, #pressed)
    for _, buttons in ipairs(pressed) do
      for _, held in pairs(buttons) do
        assert.is_false(held)
      end
    end
  end)

  it("says so when a ROM never starts the level", function()
    _G.emu.frameadvance = function() end
    local advanced, err = mario.reset(1, 1, 0, false)
    assert.is_nil(advanced)
    assert.is_truthy(err:find("1-1 did not start", 1, true))
  end)

  it("holds the buttons of the mask for every frame of a step", function()
    mario.reset(1, 1, 0, false)
    pressed = {}
    local advanced, skipped = mario.step(0x81, 4)
    assert.are.same({ 4, 0 }, { advanced, skipped })
    assert.are.equal(4, #pressed)
    for _, buttons in ipairs(pressed) do
      assert.are.same({ A = true, B = false, select = false, start = false, up = false,
        down = false, left = false, right = true }, buttons)
    end
  end)

  it("holds other buttons in the first frames of a step, where told to", function()
    mario.reset(1, 1, 0, false)
    pressed = {}
    assert.are.same({ 3, 0 }, { mario.step(0x81, 3, 0x80, 2) })
    local held = {}
    for _, buttons in ipairs(pressed) do
      table.insert(held, (buttons.right and "right" or "") .. (buttons.A and " A" or ""))
    end
    assert.are.same({ "right", "right", "right A" }, held)
    assert.are.same({ 1, 0 }, { mario.step(0x01, 1, 0, 4) })
    assert.is_false(pressed[4].A)
    assert.are.same({ 1, 0 }, { mario.step(0x01, 1, 0, 0) })
    assert.is_true(pressed[5].A)
  end)

  it("leaves the buttons that are not held to the keyboard, once told to", function()
    mario.reset(1, 1, 0, false)
    mario.step(0x80, 1)
    mario.listen_to_keyboard()
    pressed = {}
    mario.step(0x80, 1)
    mario.step(0, 1)
    assert.are.same({ { right = true }, {} }, pressed)
  end)

  for name, values in pairs({
    ["dies"] = { [STATE] = 11 },
    ["falls into a pit"] = { [Y_PAGE] = 2 },
    ["slides down the flagpole"] = { [STATE] = 4 },
    ["takes the axe"] = { [MODE] = 2 },
    ["has no life left"] = { [MODE] = 3 },
  }) do
    it("ends a step at the frame where Mario " .. name, function()
      mario.reset(1, 1, 0, false)
      script = { function() end, set(values) }
      assert.are.same({ 2, 0 }, { mario.step(0x80, 4) })
      assert.is_true(mario.has_ended())
      local advanced, err = mario.step(0x80, 4)
      assert.is_nil(advanced)
      assert.is_truthy(err:find("episode is over", 1, true))
    end)
  end

  it("does not take a fall out of the clouds for a death, unless the clock has run out", function()
    mario.reset(2, 1, 0, false)
    script = { set({ [Y_PAGE] = 2, [0x743] = 1 }), function() end, set({ [TASK] = 0 }),
      set({ [TASK] = 3, [Y_PAGE] = 1, [0x743] = 0 }) }
    assert.are.same({ 4, 0 }, { mario.step(0x80, 4) })
    assert.is_false(mario.has_ended())
    script = { set({ [Y_PAGE] = 2, [0x743] = 1, [0x759] = 1 }) }
    assert.are.same({ 1, 0 }, { mario.step(0x80, 4) })
    assert.is_true(mario.has_ended())
  end)

  it("does not take a vine for an end", function()
    mario.reset(4, 2, 0, false)
    script = { set({ [0x1D] = 3 }) }
    assert.are.same({ 4, 0 }, { mario.step(0x10, 4) })
    assert.is_false(mario.has_ended())
  end)

  it("skips what cannot be played, such as a pipe, within the step", function()
    mario.reset(1, 1, 0, false)
    local nothing = function() end
    script = { nothing, nothing, nothing, set({ [STATE] = 3 }), nothing, nothing,
      set({ [TASK] = 0 }), set({ [TASK] = 3, [STATE] = 8 }) }
    assert.are.same({ 8, 4 }, { mario.step(0x20, 4) })
    assert.are.equal(0, ram[TIMER])
  end)

  it("gives up with a reason when control over Mario never comes back", function()
    mario.reset(1, 1, 0, false)
    script = { set({ [STATE] = 3 }) }
    local advanced, err = mario.step(0, 1)
    assert.is_nil(advanced)
    assert.is_truthy(err:find("no control over Mario", 1, true))
  end)

  it("plays the whole game on after a death, and stops at game over", function()
    mario.reset(1, 1, 0, true)
    script = { set({ [STATE] = 11 }) }
    assert.are.same({ 1, 0 }, { mario.step(0x80, 4) })
    script = { set({ [STATE] = 6 }), set({ [TASK] = 0 }), set({ [TASK] = 3, [STATE] = 8 }) }
    assert.are.same({ 7, 3 }, { mario.step(0x80, 4) })
    script = { set({ [STATE] = 11 }) }
    mario.step(0x80, 4)
    script = { set({ [MODE] = 3 }) }
    assert.are.same({ 1, 1 }, { mario.step(0x80, 4) })
    assert.is_true(mario.has_ended())
  end)

  it("gives back a kept state with its picture, under a new frame id", function()
    mario.reset(1, 1, 0, false)
    mario.step(0x80, 4)
    local picture, frame = mario.picture(), mario.frame_id()
    assert.is_true(mario.save(3))
    mario.step(0x80, 4)
    assert.are_not.equal(picture, mario.picture())
    assert.is_true(mario.load(3))
    assert.are.equal(picture, mario.picture())
    assert.are.equal(frame + 5, mario.frame_id())
  end)

  it("names an empty slot", function()
    local ok, err = mario.load(9)
    assert.is_nil(ok)
    assert.is_truthy(err:find("slot 9 is empty", 1, true))
  end)

  it("draws a picture once a frame, and only when asked", function()
    mario.reset(1, 1, 0, false)
    shots = 0
    mario.step(0, 4)
    assert.are.equal(0, shots)
    mario.picture()
    mario.picture()
    assert.are.equal(1, shots)
  end)

  it("draws again only where the screen must show every state", function()
    mario.reset(1, 1, 0, false)
    local ok, err = mario.redraw()
    assert.is_nil(ok)
    assert.is_truthy(err:find("SB3_MARIO_STRIP_KEY", 1, true))
  end)
end)

describe("mario, where the screen must show every state", function()
  local drawn -- what the screen shows: memory and frame id

  before_each(function()
    fake()
    package.loaded.mario = nil
    mario = require("mario")
    local run = _G.emu.frameadvance
    _G.emu.frameadvance = function()
      run()
      ram[0] = (ram[0] or 0) + (pressed[#pressed].right and 1 or 0)
      drawn = { x = ram[0], frames = frames, frame_id = mario.frame_id() + 1 }
    end
    mario.boot(true)
  end)

  after_each(function()
    package.loaded.mario = nil
    _G.memory, _G.joypad, _G.gui, _G.savestate, _G.emu = nil, nil, nil, nil, nil
  end)

  local function assert_shown()
    assert.are.same({ x = ram[0], frames = frames, frame_id = mario.frame_id() }, drawn)
  end

  it("shows the first frame of a level, without running one more", function()
    mario.reset(1, 1, 0, false)
    assert_shown()
    local first = drawn
    mario.step(0x80, 4)
    mario.reset(1, 1, 0, false)
    assert_shown()
    assert.are.equal(first.frames, drawn.frames)
    assert.are.equal(first.x, drawn.x)
  end)

  it("shows a kept state when it is loaded, however often", function()
    mario.reset(1, 1, 0, false)
    mario.step(0x80, 4)
    mario.save(3)
    local kept = drawn
    mario.step(0x80, 6)
    for _ = 1, 2 do
      local before = mario.frame_id()
      mario.load(3)
      assert_shown()
      assert.are.same({ kept.x, kept.frames }, { drawn.x, drawn.frames })
      assert.are.equal(before + 1, mario.frame_id())
      mario.step(0x80, 1)
      assert.are.equal(kept.x + 1, ram[0])
    end
  end)

  it("draws the newest frame again: the same memory, the same id", function()
    mario.reset(1, 1, 0, false)
    for _, go in ipairs({
      function() mario.step(0x80, 4) end,
      function() mario.save(1) end,
      function() mario.load(1) end,
      function() mario.reset(1, 1, 3, false) end,
    }) do
      go()
      local x, before, id = ram[0], frames, mario.frame_id()
      for _ = 1, 2 do
        drawn = nil
        assert.is_true(mario.redraw())
        assert_shown()
        assert.are.same({ x, before, id }, { ram[0], frames, mario.frame_id() })
      end
    end
  end)

  it("asks FCEUX for no picture", function()
    mario.reset(1, 1, 0, false)
    mario.step(0x80, 4)
    mario.save(1)
    mario.load(1)
    assert.are.equal(0, shots)
  end)
end)
