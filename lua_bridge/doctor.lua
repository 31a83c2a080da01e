--- Tells which Lua modules FCEUX finds, and ends it: `python -m sb3_mario.doctor` runs this.
for _, name in ipairs({ "socket", "mime", "dkjson", "bit" }) do
  local found, problem = pcall(require, name)
  -- The rest of the message lists every path that was searched.
  io.stdout:write("sb3-mario: module ", name, found and " found"
    or " missing: " .. tostring(problem):match("^[^\n]*"), "\n")
end
io.stdout:flush()
os.exit(0) -- no game runs yet
