-- A short form of lua_bridge/spec/fuzz/run.lua, which `make fuzz` runs with a million inputs each.
local campaign = require("spec.fuzz.campaign")

local COUNT = 4000

describe("fuzzing finds nothing, and memory does not grow, in", function()
  for _, name in ipairs({ "frame", "connection", "handshake", "utf8", "messages" }) do
    it(name, function()
      local early, input, err = campaign(require("spec.fuzz.targets." .. name), 1, COUNT)
      assert(early, ("input %s: %s"):format(tostring(input), tostring(err)))
    end)
  end
end)
