// A BullMQ queue and its worker, told what to do by lines on standard input.
const { Queue, Worker } = require('bullmq');
const [host, port] = process.argv[2].split(':');
const connection = { host, port: Number(port), maxRetriesPerRequest: null };
const ran = new Map();
let repeated = 0;
const quiet = () => {};
const queue = new Queue('jobs', { connection });
const worker = new Worker('jobs', async (job) => {
  if (job.name === 'tick') repeated += 1;
  else ran.set(job.name, (ran.get(job.name) || 0) + 1);
}, { connection, concurrency: 4 });
queue.on('error', quiet);
worker.on('error', quiet);

const commands = {
  async add(prefix, n, delay) {
    for (let i = 0; i < Number(n); i++) await queue.add(`${prefix}-${i}`, { i }, { delay: Number(delay) });
    return 'ok';
  },
  async repeat(every) {
    await queue.upsertJobScheduler('ticker', { every: Number(every) }, { name: 'tick' });
    return 'ok';
  },
  done: async () => String(ran.size),
  repeated: async () => String(repeated),
  twice: async () => String([...ran.values()].filter((n) => n > 1).length),
};

require('readline').createInterface({ input: process.stdin }).on('line', async (line) => {
  const [name, ...args] = line.split(' ');
  try {
    console.log(await commands[name](...args));
  } catch (err) {
    console.log(`error ${err.message}`);
  }
});
