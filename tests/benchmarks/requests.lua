-- Sends the fixed-size requests of a file one after the other and prints the summary as one JSON line.
-- Arguments: the path, the bytes of a request, the number of requests, the number of the first request to send.

local file, size, count, sent

function init(args)
   file = assert(io.open(args[1], "rb"))
   size = tonumber(args[2])
   count = tonumber(args[3])
   sent = tonumber(args[4])
   file:seek("set", sent * size)
end

function request()
   if sent >= count then
      -- The caller sees that more requests were sent than the file has, and discards the run.
      file:seek("set", 0)
      sent = 0
   end
   sent = sent + 1
   return file:read(size)
end

function done(summary, _, _)
   local errors = summary.errors
   print(string.format(
      '\n{"requests": %d, "seconds": %.6f, "refused": %d, "socket_errors": %d}',
      summary.requests, summary.duration / 1e6, errors.status,
      errors.connect + errors.read + errors.write + errors.timeout))
end
