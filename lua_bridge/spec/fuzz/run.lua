--- The long fuzz runs: `lua5.1 lua_bridge/spec/fuzz/run.lua [COUNT [TARGET [FIRST]]]`.
--
-- Runs COUNT inputs (default 1,000,000), numbered from FIRST on (default 1), through all targets or
-- the one named. The same numbers give the same inputs.
local here = debug.getinfo(1, "S").source:match("^@(.*[/\\])") or "./"
package.path = here .. "../../?.lua;" .. package.path
local campaign = require("spec.fuzz.campaign")

io.stdout:setvbuf("line") -- each target's line when it is done, also into a file

local TARGETS = { "frame", "connection", "handshake", "utf8", "messages" }

local count = tonumber(arg[1] or 1000000)
local chosen, first = arg[2], tonumber(arg[3] or 1)
local failed = false

for _, name in ipairs(chosen and { chosen } or TARGETS) do
  local start = os.clock()
  local early, late, err = campaign(require("spec.fuzz.targets." .. name), first, count)
  if early then
    print(("%s: %d inputs, no failure, %.0f s; memory after a tenth %d bytes, at the end %d")
      :format(name, count, os.clock() - start, early, late))
  else
    failed = true
    print(("%s: FAILED: %s"):format(name, err))
    if late then
      print(("  repeat it: lua5.1 lua_bridge/spec/fuzz/run.lua 1 %s %d"):format(name, late))
    end
  end
end
os.exit(failed and 1 or 0)
