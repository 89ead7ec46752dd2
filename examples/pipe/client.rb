# A client in Ruby: `epb pipe` keeps the secret, the connection and the leases.
require "json"

BROKER = IO.popen(%w[epb pipe], "r+")

def ask(request)
  BROKER.puts(JSON.generate(request))
  BROKER.flush
  JSON.parse(BROKER.gets)
end

ask("action" => "set", "key" => "greeting", "value" => "hello", "ttl" => 60_000)
puts JSON.generate(ask("action" => "get", "key" => "greeting"))
BROKER.close
