--- Super Mario Bros. inside FCEUX: start a level, play, skip what cannot be played, keep states.
--
-- States are kept in memory only. Every function leaves the emulator stopped at a frame
-- boundary. Nothing here may run inside `pcall`: `emu.frameadvance` yields, and a yield cannot
-- cross one in Lua 5.1.
local mario = {}

-- Addresses in RAM.
local PLAYER_STATE = 0x0E -- what Mario is doing, see below
local Y_PAGE = 0xB5 -- 1 on the screen, above 1 fallen out of it
local CLOUD, TIME_UP = 0x743, 0x759 -- bonus level in the clouds; the clock has run out
local MODE, TASK = 0x770, 0x772 -- 0 title, 1 play, 2 victory, 3 game over; step within the mode
local WORLD, LEVEL, AREA = 0x75F, 0x75C, 0x760 -- from 0
local INTERMEDIATE_TIMER = 0x7A0 -- holds the "WORLD 1-1" screen

local MODE_TITLE, MODE_PLAY, MODE_VICTORY, MODE_OVER = 0, 1, 2, 3
local TASK_PLAY = 3
local FLAG_SLIDE, LEVEL_END, LOSE_LIFE, PLAYING, DYING = 4, 5, 6, 8, 11

-- In these worlds the second level opens with a walk into a pipe, which is an area of its own.
local HAS_INTRO = { [1] = true, [2] = true, [4] = true, [7] = true }

local TITLE_FRAMES = 60 -- the title stands from about frame 50
local START_LIMIT = 600 -- frames; a start takes 30 to 41
local SKIP_LIMIT = 4000 -- frames; the longest scene, after a castle, takes about 1,000
local MASKS = {
  { 0x01, "A" }, { 0x02, "B" }, { 0x04, "select" }, { 0x08, "start" },
  { 0x10, "up" }, { 0x20, "down" }, { 0x40, "left" }, { 0x80, "right" },
}

local read, write = memory.readbyte, memory.writebyte
local pads = {} -- button mask -> table for joypad.set
local keyboard = false -- the keys of FCEUX's window press buttons too
local title -- the state every level is started from
local levels = {} -- "1-1" -> kept state at its first playable frame
local slots = {} -- the client's states
local whole_game = false
local ready = false -- a level has been started
local frame_id = 0 -- counts every frame run and every state loaded; never goes back
local picture -- of a loaded state: the emulator itself draws nothing until the next frame
-- Where the screen must show every state, also one just loaded: the last frame, ready to be run
-- again, for only a frame that runs is drawn. { state = before it, mask = its buttons, kept = }
local last

local function pad(mask)
  local buttons = pads[mask]
  if not buttons then
    buttons = {}
    for _, entry in ipairs(MASKS) do
      local held = math.floor(mask / entry[1]) % 2 == 1
      if held or not keyboard then -- nil, not false, lets the keyboard through
        buttons[entry[2]] = held
      end
    end
    pads[mask] = buttons
  end
  return buttons
end

local function advance(mask)
  if last then
    if last.kept then
      last = { state = savestate.create() }
    end
    savestate.save(last.state)
    last.mask = mask
  end
  joypad.set(1, pad(mask))
  emu.frameadvance()
  frame_id = frame_id + 1
  picture = nil
end

--- The picture as FCEUX gives it: 11 bytes of header, then 256x240 pixels of 0, R, G, B.
-- Without what Lua or FCEUX itself draws over it.
function mario.picture()
  picture = picture or gui.gdscreenshot(true)
  return picture
end

function mario.ram()
  return memory.readbyterange(0, 0x800)
end

function mario.frame_id()
  return frame_id
end

local function keep()
  if last then
    last.kept = true
    return { last = last, whole_game = whole_game }
  end
  local kept = { state = savestate.create(), picture = mario.picture(), whole_game = whole_game }
  savestate.save(kept.state)
  return kept
end

local function restore(kept)
  whole_game = kept.whole_game
  if kept.last then
    savestate.load(kept.last.state)
    advance(kept.last.mask)
    return
  end
  savestate.load(kept.state)
  picture = kept.picture
  frame_id = frame_id + 1
end

--- Draws the newest frame on the screen once more, where `boot` was told so.
-- @return true, or nil and a sentence
function mario.redraw()
  if not last then
    return nil, "the screen is not in use: start FCEUX with SB3_MARIO_STRIP_KEY"
  end
  frame_id = frame_id - 1 -- it is the same frame
  savestate.load(last.state)
  advance(last.mask)
  return true
end

--- Whether Mario fell to his death; out of the clouds he falls back into the level.
local function has_fallen()
  return read(Y_PAGE) > 1 and (read(CLOUD) == 0 or read(TIME_UP) ~= 0)
end

--- Whether the episode, or in the whole game the life or the level, is over.
function mario.has_ended()
  local mode = read(MODE)
  if mode ~= MODE_PLAY then
    return mode == MODE_VICTORY or mode == MODE_OVER
  end
  if read(TASK) ~= TASK_PLAY then
    return false -- between two areas the other addresses still hold the last one's values
  end
  local state = read(PLAYER_STATE)
  return state == DYING or state == LOSE_LIFE or has_fallen()
    or state == FLAG_SLIDE or state == LEVEL_END
end

local function is_playing()
  return read(MODE) == MODE_PLAY and read(TASK) == TASK_PLAY and read(PLAYER_STATE) == PLAYING
    and read(Y_PAGE) <= 1
end

--- Lets the keys of FCEUX's window press the buttons that the client does not hold.
function mario.listen_to_keyboard()
  keyboard = true
  pads = {}
end

--- Runs to the title screen. Once, before anything else.
-- @param on_screen whether the screen must show every state, also one that is loaded
function mario.boot(on_screen)
  last = on_screen and { state = savestate.create() } or nil
  for _ = 1, TITLE_FRAMES do
    advance(0)
  end
  title = keep()
end

--- Starts a level from the title; about 40 frames.
local function start_level(world, stage)
  restore(title)
  local area = stage - 1
  if stage >= 2 and HAS_INTRO[world] then
    area = stage
  end
  for frame = 1, START_LIMIT do
    if read(MODE) == MODE_TITLE or read(TASK) == 0 then
      write(WORLD, world - 1)
      write(LEVEL, stage - 1)
      write(AREA, area)
    end
    write(INTERMEDIATE_TIMER, 0)
    advance(frame == 1 and 0x08 or 0)
    if is_playing() then
      return true
    end
  end
  return nil, ("%d-%d did not start within %d frames: does this game have that level?"):format(
    world, stage, START_LIMIT)
end

--- Goes to the first playable frame of a level, then runs `noops` frames without a button.
-- @return frames advanced since then, or nil and a sentence
function mario.reset(world, stage, noops, until_game_over)
  local name = world .. "-" .. stage
  if not levels[name] then
    whole_game = false
    local ok, err = start_level(world, stage)
    if not ok then
      return nil, err
    end
    levels[name] = keep()
  end
  restore(levels[name])
  whole_game = until_game_over
  ready = true
  for count = 1, noops do
    advance(0)
    if mario.has_ended() then
      return count
    end
  end
  return noops
end

--- Runs frames nobody can play: pipes, vines, growing, the way to the next level.
-- @param through_ends run on where a life or a level ends, instead of stopping there
-- @return frames advanced, or nil and a sentence
local function skip_scenes(through_ends)
  for count = 0, SKIP_LIMIT do
    local over = read(MODE) == MODE_OVER or (read(MODE) == MODE_VICTORY and read(WORLD) == 7)
    if is_playing() or over or (not through_ends and mario.has_ended()) then
      return count
    end
    if read(MODE) == MODE_PLAY and read(TASK) ~= TASK_PLAY then
      write(INTERMEDIATE_TIMER, 0)
    end
    advance(0)
  end
  return nil, ("no control over Mario for %d frames (mode %d, task %d, state %d)"):format(
    SKIP_LIMIT, read(MODE), read(TASK), read(PLAYER_STATE))
end

--- Holds buttons for `count` frames; ends early at a death or a cleared level.
-- In the whole game the step after such an end first runs on to the next playable frame.
-- @param first buttons of the first `first_frames` of these frames; the same if left out
-- @return frames advanced in all, of these skipped; or nil and a sentence
function mario.step(buttons, count, first, first_frames)
  if not ready then
    return nil, "no level has been started: send 'reset' first"
  end
  local before = 0
  local err
  if mario.has_ended() then
    if not whole_game then
      return nil, "the episode is over: send 'reset' first"
    end
    before, err = skip_scenes(true)
    if not before then
      return nil, err
    end
    if mario.has_ended() then
      return before, before
    end
  end
  for played = 1, count do
    advance(first and played <= first_frames and first or buttons)
    if mario.has_ended() then
      return before + played, before
    end
  end
  local after
  after, err = skip_scenes(false)
  if not after then
    return nil, err
  end
  return before + count + after, before + after
end

--- Keeps the present state under a number.
function mario.save(slot)
  if not ready then
    return nil, "no level has been started: send 'reset' first"
  end
  slots[slot] = keep()
  return true
end

--- Goes back to a kept state.
function mario.load(slot)
  if not slots[slot] then
    return nil, ("slot %d is empty: send 'save' first"):format(slot)
  end
  restore(slots[slot])
  return true
end

return mario
