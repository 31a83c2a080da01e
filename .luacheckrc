std = "lua51"
max_line_length = 100

-- what FCEUX gives to its scripts
local fceux = { "emu", "memory", "savestate", "joypad", "gui", "rom", "bit", "input" }
for _, name in ipairs({ "main", "messages", "mario" }) do
  files["lua_bridge/" .. name .. ".lua"] = { read_globals = fceux }
end
files["tests/conformance/echo.lua"] = { read_globals = fceux }
files["lua_bridge/spec"] = { std = "+busted" }
