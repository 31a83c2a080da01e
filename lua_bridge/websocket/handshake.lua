--- The opening handshake as a server sees it (RFC 6455, section 4.2), without I/O.
--
-- Beyond the RFC, a client must know the launch's token, must not be a page in a browser (those
-- send an Origin), and must offer the subprotocol that is spoken here.
local mime = require("mime")
local sha1 = require("websocket.sha1")

local handshake = {}

handshake.MAX_HEAD_BYTES = 8192
handshake.MAX_HEADERS = 64

local GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" -- section 1.3
local CONTROL_CHARACTERS = "[%z\1-\8\10-\31\127]"
local TOKEN = "[A-Za-z0-9!#$%%&'*+.^_`|~-]+" -- RFC 9110, section 5.6.2
local STATUS = {
  [400] = "Bad Request",
  [401] = "Unauthorized",
  [403] = "Forbidden",
  [405] = "Method Not Allowed",
  [408] = "Request Timeout",
  [426] = "Upgrade Required",
  [431] = "Request Header Fields Too Large",
  [503] = "Service Unavailable",
}

--- The Sec-WebSocket-Accept for a Sec-WebSocket-Key (section 4.2.2, step 5.4).
function handshake.accept(key)
  return (mime.b64(sha1.digest(key .. GUID)))
end

--- A whole HTTP response that refuses, with one sentence as its text.
-- @param headers lines without their end, or nil
function handshake.refusal(status, sentence, headers)
  local lines = { ("HTTP/1.1 %d %s"):format(status, STATUS[status]) }
  for _, line in ipairs(headers or {}) do
    lines[#lines + 1] = line
  end
  -- RFC 9110, section 7.8: who sends Upgrade must name it in Connection
  lines[#lines + 1] = status == 426 and "Connection: Upgrade, close" or "Connection: close"
  lines[#lines + 1] = "Content-Type: text/plain; charset=utf-8"
  lines[#lines + 1] = ("Content-Length: %d"):format(#sentence + 1)
  lines[#lines + 1] = ""
  lines[#lines + 1] = sentence .. "\n"
  return table.concat(lines, "\r\n")
end

--- Cuts spaces and tabs at both ends, in linear time whatever the text.
local function trim(text)
  local first, last = text:find("[^ \t]"), #text
  if not first then
    return ""
  end
  while text:find("^[ \t]", last) do
    last = last - 1
  end
  return text:sub(first, last)
end

--- Reads a request's head (RFC 9112, sections 3 and 5), lines and blank line included.
-- @return a table of method, target and headers (lower-case name -> value; values of a repeated
--   header joined by commas), or nil, a status and a sentence
local function parse(head)
  local _, position, method, target, major, minor =
    head:find("^([!-~]+) ([!-~]+) HTTP/(%d)%.(%d)\r\n")
  if not position then
    return nil, 400, "The request line is malformed."
  elseif major ~= "1" or minor == "0" then
    return nil, 400, "The opening handshake needs HTTP/1.1."
  end
  local headers, count = {}, 0
  while true do
    local _, line_end, line = head:find("^([^\r\n]*)\r\n", position + 1)
    if not line_end then
      return nil, 400, "A header line does not end in CR LF."
    elseif line == "" then
      return { method = method, target = target, headers = headers }
    end
    local name, value = line:match("^(" .. TOKEN .. "):(.*)$")
    if not name or value:find(CONTROL_CHARACTERS) then
      return nil, 400, "A header line is malformed."
    end
    count = count + 1
    if count > handshake.MAX_HEADERS then
      return nil, 431, ("The request has more than %d headers."):format(handshake.MAX_HEADERS)
    end
    name, value = name:lower(), trim(value)
    headers[name] = headers[name] and headers[name] .. ", " .. value or value
    position = line_end
  end
end

--- Whether a comma-separated list holds a token; `fold` ignores case.
local function lists(value, token, fold)
  for item in (value or ""):gmatch("[^,]+") do
    item = trim(item)
    if (fold and item:lower() or item) == token then
      return true
    end
  end
  return false
end

--- Compares secrets in a time that depends on their length only.
local function same_secret(given, expected)
  if #given ~= #expected then
    return false
  end
  local difference = 0
  for i = 1, #expected do
    difference = difference + math.abs(given:byte(i) - expected:byte(i))
  end
  return difference == 0
end

--- Whether a value is base64 of 16 bytes: 22 digits of 6 bits, and two of padding.
local function is_key(value)
  return value ~= nil and #value == 24 and value:find("^[A-Za-z0-9+/]+==$") ~= nil
end

local UPGRADE = { "Upgrade: websocket", "Sec-WebSocket-Version: 13" }

--- Says why a request is refused, by section 4.2.1 and this module's own rules.
-- @return nil if it is not, or a status, a sentence and further header lines
local function objection(request, settings)
  local headers = request.headers
  local host = headers.host
  if request.method ~= "GET" then
    return 405, "Only GET is served here.", { "Allow: GET" }
  elseif not request.target:find("^/") and not request.target:lower():find("^https?://") then
    return 400, "The request's target is neither a path nor an http URL."
  elseif not host or host == "" or host:find("[ \t,]") then
    return 400, "The request needs exactly one Host."
  elseif headers["transfer-encoding"] or (headers["content-length"] or "0") ~= "0" then
    return 400, "The opening handshake has no body."
  elseif headers.origin then
    return 403, "Pages in a browser may not connect."
  elseif not lists(headers.upgrade, "websocket", true)
    or not lists(headers.connection, "upgrade", true)
  then
    return 426, "Only WebSocket is served here; Upgrade or Connection does not ask for it.", UPGRADE
  elseif headers["sec-websocket-version"] ~= "13" then
    return 426, "Only version 13 of the WebSocket protocol is served here.", UPGRADE
  elseif not is_key(headers["sec-websocket-key"]) then
    return 400, "Sec-WebSocket-Key must be 16 bytes in base64."
  end
  local scheme, token = (headers.authorization or ""):match("^(%a+) +(.+)$")
  if not scheme or scheme:lower() ~= "bearer" or not same_secret(token, settings.token) then
    return 401, "The token of this launch is missing or wrong in Authorization: Bearer.",
      { "WWW-Authenticate: Bearer" }
  elseif not lists(headers["sec-websocket-protocol"], settings.subprotocol, false) then
    return 400, ("This server speaks the subprotocol %s, which was not offered.")
      :format(settings.subprotocol)
  end
  local admitted, reason = true, nil
  if settings.admit then
    admitted, reason = settings.admit()
  end
  if not admitted then
    return 503, reason
  end
  return nil
end

local Handshake = {}
Handshake.__index = Handshake

--- Makes the handshake of one client.
-- @param settings token (the secret); subprotocol; admit (optional function, asked last: returns
--   true, or false and a sentence for a 503)
function handshake.new(settings)
  return setmetatable({ settings = settings, received = "" }, Handshake)
end

local function refused(status, sentence, headers)
  return {
    accepted = false,
    status = status,
    response = handshake.refusal(status, sentence, headers),
  }
end

--- Takes bytes as they were received, in pieces of any size.
-- @return nil while the request is incomplete; then once a table of accepted (boolean), status,
--   response (the bytes to send), and if accepted, rest (bytes that followed the request)
function Handshake:receive(bytes)
  local searched = #self.received
  self.received = self.received .. bytes
  local _, head_end = self.received:find("\r\n\r\n", math.max(1, searched - 2), true)
  if (head_end or #self.received) > handshake.MAX_HEAD_BYTES then
    return refused(431, ("The request's head exceeds %d bytes."):format(handshake.MAX_HEAD_BYTES))
  elseif not head_end then
    return nil
  end
  local request, status, sentence = parse(self.received:sub(1, head_end))
  if not request then
    return refused(status, sentence)
  end
  local headers
  status, sentence, headers = objection(request, self.settings)
  if status then
    return refused(status, sentence, headers)
  end
  return {
    accepted = true,
    status = 101,
    rest = self.received:sub(head_end + 1),
    response = table.concat({
      "HTTP/1.1 101 Switching Protocols",
      "Upgrade: websocket",
      "Connection: Upgrade",
      "Sec-WebSocket-Accept: " .. handshake.accept(request.headers["sec-websocket-key"]),
      "Sec-WebSocket-Protocol: " .. self.settings.subprotocol,
      "",
      "",
    }, "\r\n"),
  }
end

return handshake
