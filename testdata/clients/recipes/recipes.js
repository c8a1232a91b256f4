// The recipes of docs/recipes with the applications' own client code: work, lose
// Redis with kill -9, work on, get Redis back, and compare what Redis holds.
//
//   node recipes.js REDIS_PORT PROXY_PORT DATA_DIR
'use strict';
const assert = require('node:assert/strict');
const http = require('node:http');
const { spawn } = require('node:child_process');
const Redis = require('ioredis');
const { Queue, Worker } = require('bullmq');
const express = require('express');
const session = require('express-session');
const RedisStore = require('connect-redis').default;
const { RateLimiterRedis, RateLimiterMemory } = require('rate-limiter-flexible');

const [redisPort, proxyPort, dir] = process.argv.slice(2);
const local = (port) => ({ host: '127.0.0.1', port: Number(port), maxRetriesPerRequest: null });
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

async function until(what, ok, ms = 20000) {
  for (const end = Date.now() + ms; Date.now() < end; await sleep(50)) {
    try {
      if (await ok()) return;
    } catch { /* not yet */ }
  }
  throw new Error(`not in time: ${what}`);
}

let server;
async function startRedis() {
  server = spawn('redis-server', ['--port', redisPort, '--save', '', '--appendonly', 'yes', '--appendfsync', 'always', '--dir', dir], { stdio: 'ignore' });
  await until('redis-server answers', async () => {
    const c = new Redis({ ...local(redisPort), lazyConnect: true, retryStrategy: null });
    c.on('error', () => {});
    try {
      await c.connect();
      return (await c.ping()) === 'PONG';
    } finally {
      c.disconnect();
    }
  });
}
async function killRedis() {
  const gone = new Promise((done) => server.once('exit', done));
  server.kill('SIGKILL');
  await gone;
}

async function main() {
  await startRedis();
  const proxy = new Redis(local(proxyPort));
  const mode = (want) => until(`mode ${want}`, async () => {
    const s = JSON.parse(await proxy.call('HOLDFAST', 'STATUS'));
    return s.mode === want && (want !== 'online' || (s.connected && s.mirror.complete));
  });
  await mode('online');

  // BullMQ
  const queue = new Queue('mail', { connection: local(proxyPort) });
  const handled = [];
  const startWorker = () => {
    const w = new Worker('mail', async (job) => { handled.push(job.data.n); }, { connection: local(proxyPort), concurrency: 4 });
    w.on('error', () => {}); // its blocking commands are refused while Redis is away
    return w;
  };
  let worker = startWorker();
  for (let n = 0; n < 5; n++) await queue.add('send', { n });
  await until('5 jobs', () => handled.length === 5);

  // express-session in connect-redis
  const app = express();
  app.use(session({ store: new RedisStore({ client: proxy, prefix: 'sess:' }), secret: 's', resave: false, saveUninitialized: false, cookie: { maxAge: 3600000 } }));
  app.get('/', (req, res) => { req.session.views = (req.session.views || 0) + 1; res.json(req.session.views); });
  const web = app.listen(0, '127.0.0.1');
  await new Promise((done) => web.once('listening', done));
  let cookie = '';
  const visit = () => new Promise((done, fail) => {
    http.get({ host: '127.0.0.1', port: web.address().port, headers: cookie ? { cookie } : {} }, (res) => {
      if (res.headers['set-cookie']) cookie = res.headers['set-cookie'][0].split(';')[0];
      let text = '';
      res.on('data', (d) => { text += d; }).on('end', () => (res.statusCode === 200 ? done(Number(text)) : fail(new Error(`${res.statusCode} ${text}`))));
    }).on('error', fail);
  });
  assert.equal(await visit(), 1);
  await sleep(100); // so that the next session's end differs

  // rate-limiter-flexible
  // Its script begins with SET … 0 NX EX, which starts a counter: it goes on while Redis is
  // away, one that is under way and a new one. The insurance is not needed.
  const insuranceLimiter = new RateLimiterMemory({ points: 10, duration: 600 });
  const limiter = new RateLimiterRedis({ storeClient: proxy, keyPrefix: 'rlflx', points: 10, duration: 600, insuranceLimiter });
  for (let i = 0; i < 3; i++) await limiter.consume('ip');
  await mode('online');

  await killRedis();
  await mode('offline');
  const acked = [0, 1, 2, 3, 4];
  for (let n = 5; n < 25; n++) await queue.add('send', { n }).then(() => acked.push(n));
  assert.equal(await visit(), 2);
  assert.equal(await visit(), 3);
  for (let i = 0; i < 7; i++) await limiter.consume('ip');
  await assert.rejects(limiter.consume('ip'), (e) => e.remainingPoints === 0);
  for (let i = 0; i < 10; i++) await limiter.consume('new');
  await assert.rejects(limiter.consume('new'), (e) => e.remainingPoints === 0);
  console.log('offline: 20 of 20 jobs taken, 2 visits, both limiters at their end');

  await startRedis();
  await mode('online');
  for (let n = 25; n < 30; n++) await queue.add('send', { n }).then(() => acked.push(n));
  await until('all jobs', () => handled.length >= acked.length, 40000);
  await sleep(500);
  assert.deepEqual([...handled].sort((a, b) => a - b), acked, 'each job once');
  const direct = new Redis(local(redisPort));
  const [key] = await direct.keys('sess:*');
  assert.equal(JSON.parse(await direct.get(key)).views, 3);
  const ttl = await direct.ttl(key);
  assert.ok(ttl > 3500 && ttl <= 3600, `session lives for ${ttl} s`);
  assert.equal(await visit(), 4);
  assert.equal(await direct.get('rlflx:ip'), '11', 'each call once, that at the limit included');
  assert.equal(await direct.get('rlflx:new'), '11', 'one that began in the outage, too');
  assert.ok((await direct.ttl('rlflx:ip')) > 500);
  console.log(`back: each of ${acked.length} jobs once, the session, and the limiter are at Redis`);

  await worker.close(true);
  await queue.close();
  web.close();
  direct.disconnect();
  proxy.disconnect();
  await killRedis();
}

main().then(() => process.exit(0), (err) => {
  console.error(err);
  if (server) server.kill('SIGKILL');
  process.exit(1);
});
