local heartbeat = require("websocket.heartbeat")

describe("heartbeat", function()
  it("pings once in each interval of silence, and then says that the peer is dead", function()
    local beat = heartbeat.new(5, 12)
    local said = {}
    for _ = 1, 12 do
      said[#said + 1] = beat:waited(1) or "-"
    end
    assert.are.equal("- - - - ping - - - - ping - dead", table.concat(said, " "))
  end)

  it("begins anew with each sign of life", function()
    local beat = heartbeat.new(5, 12)
    for _ = 1, 10 do
      assert.is_nil(beat:waited(4.9))
      beat:heard()
    end
    assert.are.equal("ping", beat:waited(5))
    beat:heard()
    assert.are.equal(5, beat:patience())
  end)

  it("counts only the time it is told of", function()
    local beat = heartbeat.new(5, 12)
    beat:waited(3)
    assert.are.equal(2, beat:patience())
    assert.is_nil(beat:waited(0))
    assert.are.equal(2, beat:patience())
  end)
end)
