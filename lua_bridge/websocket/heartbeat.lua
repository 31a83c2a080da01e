--- Says when to ping a peer and when it is dead, without I/O and without a clock.
--
-- Only time spent waiting for the peer counts: where this process itself stood still (a suspended
-- machine, a clock that was set) the peer is not to blame.
local heartbeat = {}

local Heartbeat = {}
Heartbeat.__index = Heartbeat

--- @param interval seconds of silence between two pings
-- @param timeout seconds of silence after which the peer is dead
function heartbeat.new(interval, timeout)
  return setmetatable({ interval = interval, timeout = timeout, silence = 0, unpinged = 0 },
    Heartbeat)
end

--- Notes a sign of life.
function Heartbeat:heard()
  self.silence, self.unpinged = 0, 0
end

--- Notes that the peer was waited for in vain.
-- @return "dead", "ping" where one is due, or nil
function Heartbeat:waited(seconds)
  self.silence = self.silence + seconds
  self.unpinged = self.unpinged + seconds
  if self.silence >= self.timeout then
    return "dead"
  elseif self.unpinged >= self.interval then
    self.unpinged = 0
    return "ping"
  end
  return nil
end

--- Seconds until the next ping is due.
function Heartbeat:patience()
  return self.interval - self.unpinged
end

return heartbeat
