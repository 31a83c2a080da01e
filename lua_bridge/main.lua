--- What FCEUX runs: serves the game to one WebSocket client, one request at a time.
--
-- Settings come from the environment, so that the token shows in no command line:
--   SB3_MARIO_TOKEN      what a client must present (required)
--   SB3_MARIO_PORT       port on 127.0.0.1; 0, the default, takes a free one
--   SB3_MARIO_SPEED      FCEUX's speed: "maximum" (default) or "normal", 60 frames a second
--   SB3_MARIO_KEYBOARD   1 lets the keys of FCEUX's window play too
--   SB3_MARIO_STRIP_KEY  number; where it is set, every picture on the screen says its frame
-- and in seconds, the deadlines that sb3_mario/emulator/deadlines.py explains; without them those
-- of websocket/server.lua hold, and there is no heartbeat:
--   SB3_MARIO_ALONE_SECONDS, SB3_MARIO_HANDSHAKE_SECONDS, SB3_MARIO_SEND_SECONDS,
--   SB3_MARIO_PING_SECONDS, SB3_MARIO_TRAINER_SECONDS
local here = debug.getinfo(1, "S").source:match("^@(.*[/\\])") or "./"
package.path = here .. "?.lua;" .. package.path

local socket, messages, mario, server, strip -- loaded under pcall, see the end

local WIDTH, HEIGHT = 256, 240
local GD_HEADER = 11 -- bytes before the pixels in what FCEUX gives
local POLL_SECONDS = 1

local function log(text)
  io.stdout:write("sb3-mario: ", text, "\n")
  io.stdout:flush()
end

local function send_state(bridge, request, advanced, skipped)
  local ram = mario.ram()
  local flags = (request.frame and messages.FLAG_FRAME or 0)
    + (mario.has_ended() and messages.FLAG_ENDED or 0)
    + (skipped > 0 and messages.FLAG_SKIPPED or 0)
  local header = messages.state_header({
    id = request.id,
    flags = flags,
    frame_id = mario.frame_id(),
    emulator_frame = emu.framecount(),
    advanced = advanced,
    timestamp_us = math.floor(socket.gettime() * 1000000),
    ram_bytes = #ram,
    frame_bytes = request.frame and WIDTH * HEIGHT * 4 or 0,
    width = WIDTH,
    height = HEIGHT,
  })
  if not request.frame then
    return bridge:send_binary({ header, ram })
  end
  -- FCEUX gives pixels of 0, R, G, B. Without the first 0 and with one after the last pixel they
  -- are R, G, B, 0, which the client converts as it stands; and no pixel is copied here.
  local picture = mario.picture()
  return bridge:send_binary({ header, { picture, GD_HEADER + 2, #picture }, "\0" .. ram })
end

local handlers = {}

function handlers.hello(bridge, request)
  return bridge:send_text(messages.answer(request.id, "hello", {
    emulator = "FCEUX",
    protocol = messages.SUBPROTOCOL,
    rom = rom.getfilename(),
    rom_md5 = rom.gethash("md5"),
    width = WIDTH,
    height = HEIGHT,
    slots = messages.MAX_SLOTS,
  }))
end

local function answer_state(bridge, request, advanced, skipped_or_err)
  if not advanced then
    return bridge:send_text(messages.error(request.id, "refused", skipped_or_err))
  end
  return send_state(bridge, request, advanced, skipped_or_err)
end

function handlers.reset(bridge, request)
  local advanced, err =
    mario.reset(request.world, request.stage, request.noops, request.whole_game)
  return answer_state(bridge, request, advanced, err or 0)
end

function handlers.step(bridge, request)
  return answer_state(bridge, request,
    mario.step(request.buttons, request["repeat"], request.first, request.first_frames))
end

function handlers.save(bridge, request)
  local ok, err = mario.save(request.slot)
  if not ok then
    return bridge:send_text(messages.error(request.id, "refused", err))
  end
  return bridge:send_text(messages.answer(request.id, "save", { slot = request.slot }))
end

function handlers.load(bridge, request)
  local ok, err = mario.load(request.slot)
  return answer_state(bridge, request, ok and 0, err or 0)
end

function handlers.redraw(bridge, request)
  local ok, err = mario.redraw()
  if not ok then
    return bridge:send_text(messages.error(request.id, "refused", err))
  end
  return bridge:send_text(messages.answer(request.id, "redraw", { frame_id = mario.frame_id() }))
end

--- Makes FCEUX draw the strips into each picture that it shows. `mario.picture` stays without.
local function draw_strips(key)
  gui.register(function()
    local frame_id = mario.frame_id() + 1 -- of the frame that has just been run
    local image = strip.image(frame_id, strip.code(key, frame_id, emu.getscreenpixel))
    gui.gdoverlay(0, 0, image)
    gui.gdoverlay(0, HEIGHT - strip.LINES, image)
  end)
end

local function seconds(name)
  return tonumber(os.getenv("SB3_MARIO_" .. name .. "_SECONDS"))
end

local function serve(bridge, alone_seconds)
  local alone_since = socket.gettime()
  while true do
    local event = bridge:poll(POLL_SECONDS)
    if bridge:has_client() then
      alone_since = nil
    else
      alone_since = alone_since or socket.gettime()
      if socket.gettime() - alone_since > alone_seconds then
        return ("no client for %g seconds"):format(alone_seconds)
      end
    end
    if event and event.type == "text" then
      local request, err, id = messages.decode(event.data)
      if not request then
        bridge:send_text(messages.error(id, "bad_message", err))
      elseif request.type == "close" then
        bridge:send_text(messages.answer(request.id, "close"))
        bridge:disconnect(1000, "closed by the client")
        return "closed by the client"
      else
        handlers[request.type](bridge, request)
      end
    elseif event and event.type == "binary" then
      bridge:send_text(messages.error(0, "bad_message", "requests are JSON texts"))
    end
  end
end

local function main()
  local token = os.getenv("SB3_MARIO_TOKEN")
  if not token or token == "" then
    return "SB3_MARIO_TOKEN is not set: start FCEUX through sb3_mario, or set it yourself"
  end
  local bridge, err = server.listen({
    host = "127.0.0.1",
    port = tonumber(os.getenv("SB3_MARIO_PORT") or 0),
    token = token,
    subprotocol = messages.SUBPROTOCOL,
    max_message = 65536,
    handshake_timeout = seconds("HANDSHAKE"),
    send_timeout = seconds("SEND"),
    ping_interval = seconds("PING"),
    ping_timeout = seconds("TRAINER"),
  })
  if not bridge then
    return err
  end
  emu.speedmode(os.getenv("SB3_MARIO_SPEED") or "maximum")
  local strip_key = tonumber(os.getenv("SB3_MARIO_STRIP_KEY"))
  if strip_key then
    draw_strips(strip_key)
  end
  mario.boot(strip_key ~= nil)
  if os.getenv("SB3_MARIO_KEYBOARD") == "1" then
    mario.listen_to_keyboard()
  end
  log("ready on port " .. bridge:port())
  local reason = serve(bridge, seconds("ALONE") or 10)
  bridge:close()
  return reason
end

-- An error that reaches FCEUX with a long message, as that of a missing module is, crashes it.
local loaded, problem = pcall(function()
  socket = require("socket")
  messages = require("messages")
  mario = require("mario")
  strip = require("strip")
  server = require("websocket.server")
end)
log("end: " .. (loaded and main() or "cannot load a Lua module: " .. tostring(problem)))
for _ = 1, 10 do
  emu.frameadvance() -- in its first frames FCEUX does not heed an exit
end
emu.exit()
