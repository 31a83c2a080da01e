local socket = require("socket")
local listener = require("websocket.listener")

local open

local function listen(host, port)
  local tcp, err = listener.open(host, port)
  if tcp then
    open[#open + 1] = tcp
  end
  return tcp, err
end

local function port_of(tcp)
  return tonumber((select(2, tcp:getsockname())))
end

before_each(function()
  open = {}
end)

after_each(function()
  for _, tcp in ipairs(open) do
    tcp:close()
  end
end)

describe("listener.open", function()
  it("listens on a free port for 0", function()
    local tcp = assert(listen("127.0.0.1", 0))
    open[2] = assert(socket.connect("127.0.0.1", port_of(tcp)))
  end)

  it("does not block in accept", function()
    local tcp = assert(listen("127.0.0.1", 0))
    assert.are.equal("timeout", select(2, tcp:accept()))
  end)

  it("says which port is busy, and what to do", function()
    local port = port_of(assert(listen("127.0.0.1", 0)))
    local second, err = listen("127.0.0.1", port)
    assert.is_nil(second)
    assert.is_not_nil(err:find("port " .. port .. ": address already in use; choose", 1, true))
  end)

  it("serves loopback addresses only, and names one", function()
    for _, host in ipairs({ "0.0.0.0", "*", "192.168.0.1", "localhost", "::1", "127.0.0.256",
      "127.0.0.1.example.org", "", false }) do
      local tcp, err = listen(host, 0)
      assert.is_nil(tcp)
      assert.is_not_nil(err:find("use 127.0.0.1", 1, true))
    end
  end)

  it("refuses what is no port, and names it", function()
    for _, port in ipairs({ 65536, -1, 1.5, "x" }) do
      local tcp, err = listen("127.0.0.1", port)
      assert.is_nil(tcp)
      assert.is_not_nil(err:find("port " .. port .. ":", 1, true))
    end
  end)
end)
