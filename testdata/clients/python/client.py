"""Drives a Redis through the port given with Debian's python3-redis.

usage: client.py PORT PHASE; phase online asks for everything, outage only for
what works without Redis.
"""
import sys
import redis

port, phase = int(sys.argv[1]), sys.argv[2]
r = redis.Redis(host="127.0.0.1", port=port, socket_timeout=10)

assert r.ping()
assert r.set("aiclient:py", b"bytes \xff")
assert r.get("aiclient:py") == b"bytes \xff"
base = int(r.get("aiclient:pyn") or 0)
assert r.incr("aiclient:pyn") == base + 1
with r.pipeline(transaction=True) as p:
    p.hset("aiclient:pyh", "f", "v")
    p.hgetall("aiclient:pyh")
    out = p.execute()
    assert out[1] == {b"f": b"v"}, out
assert {b"aiclient:py", b"aiclient:pyh", b"aiclient:pyn"} <= set(r.scan_iter("aiclient:py*"))
script = r.register_script("return redis.call('get', KEYS[1])")
assert script(keys=["aiclient:py"]) == b"bytes \xff"

if phase != "outage":
    sub = r.pubsub(ignore_subscribe_messages=True)
    sub.subscribe("chan")
    assert sub.get_message(timeout=5) is None
    assert r.publish("chan", "hi") == 1
    message = sub.get_message(timeout=5)
    assert message["data"] == b"hi", message
    sub.close()
    assert r.blpop("none", timeout=1) is None
    r.rpush("q", "x")
    assert r.blpop("q", timeout=1) == (b"q", b"x")

    def bump(p):
        n = int(p.get("aiclient:pyw") or 0)
        p.multi()
        p.set("aiclient:pyw", n + 1)

    r.transaction(bump, "aiclient:pyw")
    assert r.client_getname() in (None, "", b"")
    assert r.info()["loading"] == 0
print("ok")
