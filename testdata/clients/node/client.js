// Drives a Redis through the port given with ioredis and node-redis.
// usage: node client.js PORT PHASE; phase outage asks only for what works
// without Redis.
const assert = require("node:assert");
const Redis = require("ioredis");
const { createClient } = require("redis");

const port = Number(process.argv[2]);
const phase = process.argv[3];

async function withIoredis() {
  const r = new Redis({ port, maxRetriesPerRequest: 3, enableReadyCheck: true });
  assert.equal(await r.set("aiclient:io", "v"), "OK");
  assert.equal(await r.get("aiclient:io"), "v");
  const many = await r.pipeline().set("aiclient:io2", "a").get("aiclient:io2").exec();
  assert.deepEqual(many, [[null, "OK"], [null, "a"]]);
  const unit = await r.multi().set("aiclient:io3", "b").get("aiclient:io3").exec();
  assert.deepEqual(unit, [[null, "OK"], [null, "b"]]);
  r.defineCommand("readit", { numberOfKeys: 1, lua: "return redis.call('get',KEYS[1])" });
  assert.equal(await r.readit("aiclient:io"), "v");
  if (phase !== "outage") {
    const sub = r.duplicate();
    const got = new Promise((resolve) => sub.on("message", (_, m) => resolve(m)));
    await sub.subscribe("chan");
    await r.publish("chan", "hello");
    assert.equal(await got, "hello");
    await sub.quit();
    assert.equal(await r.blpop("none", 0.01), null);
    await r.rpush("ioq", "x");
    assert.deepEqual(await r.blpop("ioq", 1), ["ioq", "x"]);
  }
  await r.quit();
}

async function withNodeRedis() {
  const c = createClient({ socket: { host: "127.0.0.1", port } });
  c.on("error", (e) => { throw e; });
  await c.connect();
  assert.equal(await c.set("aiclient:nr", "v"), "OK");
  assert.equal(await c.get("aiclient:nr"), "v");
  assert.deepEqual(await c.multi().incr("aiclient:nrn").exists("aiclient:nr").exec().then((a) => a[1]), 1);
  if (phase !== "outage") {
    const sub = c.duplicate();
    await sub.connect();
    const got = new Promise((resolve) => sub.subscribe("chan2", resolve).then(() => c.publish("chan2", "hi")));
    assert.equal(await got, "hi");
    await sub.quit();
  }
  await c.quit();
}

withIoredis().then(withNodeRedis).then(() => console.log("ok"), (e) => { console.error(e); process.exit(1); });
