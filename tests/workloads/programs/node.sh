#!/bin/bash
# node: an HTTP server and its clients, worker threads, child processes, files, compression, garbage collection.
. "${0%/*}/common.sh"

cat >main.js <<'END'
const { once } = require('events');
const { promisify } = require('util');
const assert = require('assert');
const childProcess = require('child_process');
const crypto = require('crypto');
const dns = require('dns');
const fs = require('fs');
const http = require('http');
const timers = require('timers/promises');
const zlib = require('zlib');
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');

function garbage(rounds) {
  let kept = [];
  for (let round = 0; round < rounds; round++) {
    kept = Array.from({ length: 2000 }, (_, index) => ({ index, text: 'x'.repeat(50) + index, round }));
    Buffer.alloc(300_000, round);
    new Float64Array(50_000).fill(round);
  }
  return kept.length;
}

async function serve() {
  const server = http.createServer((request, response) => {
    if (request.url === '/file') fs.createReadStream('large').pipe(response);
    else request.resume().on('end', () => response.end('hello'));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
  const ask = (path, method = 'GET') => new Promise((resolve, reject) => {
    const request = http.request({ host: 'localhost', family: 4, port, path, method, agent }, (response) => {
      let size = 0;
      response.on('data', (data) => { size += data.length; });
      response.on('end', () => resolve(size));
    });
    request.on('error', reject);
    request.end(method === 'POST' ? 'y'.repeat(100_000) : undefined);
  });
  for (let round = 0; round < 40; round++) {
    const sizes = await Promise.all([ask('/'), ask('/file'), ask('/', 'POST'), ask('/')]);
    assert.deepStrictEqual(sizes, [5, 500_000, 5, 5]);
  }
  agent.destroy();
  server.close();
}

async function processes() {
  const exec = promisify(childProcess.execFile);
  assert.strictEqual((await exec('echo', ['text'])).stdout, 'text\n');
  assert.strictEqual(childProcess.spawnSync('sh', ['-c', 'cat; exit 3'], { input: 'in' }).status, 3);
  const sleeper = childProcess.spawn('sleep', ['10']);
  await timers.setTimeout(50);
  sleeper.kill('SIGTERM');
  assert.strictEqual((await once(sleeper, 'exit'))[1], 'SIGTERM');
  const forked = childProcess.fork(__filename, ['child'], { execArgv: [] });
  forked.send('ping');
  assert.strictEqual((await once(forked, 'message'))[0], 'pong');
  forked.disconnect();
  await once(forked, 'exit');
}

async function files() {
  await fs.promises.mkdir('files/deep', { recursive: true });
  await Promise.all(Array.from({ length: 50 }, (_, number) => fs.promises.writeFile(`files/${number}`, 'text')));
  const watcher = fs.watch('files');
  const changed = once(watcher, 'change');
  await fs.promises.appendFile('files/1', 'more');
  await changed;
  watcher.close();
  await fs.promises.copyFile('files/1', 'files/copy');
  await fs.promises.rename('files/copy', 'files/renamed');
  await fs.promises.symlink('1', 'files/link');
  assert.strictEqual((await fs.promises.readdir('files')).length, 53);
  await fs.promises.rm('files', { recursive: true });
}

async function main() {
  fs.writeFileSync('large', crypto.randomBytes(500_000));
  const workers = [1, 2].map((number) => new Worker(__filename, { workerData: number }));
  const answers = workers.map((worker) => once(worker, 'message'));
  await serve();
  await processes();
  await files();
  const packed = await promisify(zlib.gzip)(Buffer.alloc(2_000_000, 'text'));
  assert.strictEqual((await promisify(zlib.gunzip)(packed)).length, 2_000_000);
  const keys = Array.from({ length: 6 }, () => promisify(crypto.pbkdf2)('word', 'salt', 20_000, 32, 'sha512'));
  assert.strictEqual((await Promise.all(keys)).length, 6);
  assert.strictEqual((await dns.promises.lookup('localhost', 4)).family, 4);
  const caught = once(process, 'SIGUSR2');
  process.kill(process.pid, 'SIGUSR2');
  await caught;
  garbage(150);
  global.gc();
  await timers.setTimeout(100);
  assert.deepStrictEqual((await Promise.all(answers)).flat(), [2000, 2000]);
  await Promise.all(workers.map((worker) => once(worker, 'exit')));
}

if (!isMainThread) parentPort.postMessage(garbage(50 + workerData));
else if (process.argv[2] === 'child') process.on('message', () => process.send('pong'));
else main();
END
node --expose-gc main.js
# The child that is killed may not have come to it.
sleep 0.01
# Where two threads meet at a bad moment libuv yields the processor, which may not happen in a whole recording.
perl -Mthreads -e 'threads->yield'
finish node 48
