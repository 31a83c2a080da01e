-- FCEUX's own rate: plays level 1-1 by a file of buttons, four frames each, with nothing sent.
package.path = os.getenv("SB3_MARIO_BRIDGE") .. "/?.lua;" .. package.path
local socket = require("socket")
local mario = require("mario")

local NAMES = { "A", "B", "select", "start", "up", "down", "left", "right" }
local FRAMES = 4

local function pads()
  local result = {}
  for mask = 0, 255 do
    local buttons, rest = {}, mask
    for _, name in ipairs(NAMES) do
      buttons[name] = rest % 2 == 1
      rest = math.floor(rest / 2)
    end
    result[mask] = buttons
  end
  return result
end

local file = assert(io.open(os.getenv("SB3_MARIO_BUTTONS"), "rb"))
local buttons = file:read("*a")
file:close()

emu.speedmode("maximum")
mario.boot()
mario.reset(1, 1, 0, false)
local level = savestate.create()
savestate.save(level)
local pad_of = pads()
local start = socket.gettime()
for i = 1, #buttons do
  local pad = pad_of[buttons:byte(i)]
  for _ = 1, FRAMES do
    joypad.set(1, pad)
    emu.frameadvance()
  end
  if mario.has_ended() then
    savestate.load(level)
  end
end
local seconds = socket.gettime() - start
file = assert(io.open(os.getenv("SB3_MARIO_RESULT"), "w"))
file:write(("%.6f"):format(seconds))
file:close()
emu.exit()
