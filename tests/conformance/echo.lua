--- What FCEUX runs for the conformance tests: the shipped WebSocket server, answering each message
-- with the same message. The token comes from the environment, as for main.lua.
local here = debug.getinfo(1, "S").source:match("^@(.*[/\\])") or "./"
package.path = here .. "../../lua_bridge/?.lua;" .. package.path
local socket = require("socket")
local messages = require("messages")
local server = require("websocket.server")

local MAX_MESSAGE = 16 * 1024 * 1024 -- of Autobahn's cases
local IDLE_SECONDS = 10

local bridge = assert(server.listen({
  token = os.getenv("SB3_MARIO_TOKEN"),
  subprotocol = messages.SUBPROTOCOL,
  max_message = MAX_MESSAGE,
}))
io.stdout:write("ready on port ", bridge:port(), "\n")
io.stdout:flush()

local alone_since = socket.gettime()
while bridge:has_client() or socket.gettime() - alone_since < IDLE_SECONDS do
  local event = bridge:poll(1)
  if event and event.type == "text" then
    bridge:send_text(event.data)
  elseif event and event.type == "binary" then
    bridge:send_binary({ event.data })
  end
  if bridge:has_client() then
    alone_since = socket.gettime()
  end
end
bridge:close()
for _ = 1, 10 do
  emu.frameadvance() -- in its first frames FCEUX does not heed an exit
end
emu.exit()
