// Makes thumbnails with sharp, one request a line: what benchmarks/thumbnails.py measures against.
// One thread, no cache, the options that the thumbnailer has: upright, never enlarged, in sRGB, no metadata.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const sharp = createRequire(process.cwd() + "/")("sharp");
sharp.concurrency(1);
sharp.cache(false);

const pictures = new Map();

function read(file) {
  if (!pictures.has(file)) pictures.set(file, readFileSync(file));
  return pictures.get(file);
}

// The most memory that this process has used, in KB; 0 where Linux is not there to tell.
function peak() {
  const status = "/proc/self/status";
  return existsSync(status) ? Number(/VmHWM:\s+(\d+)/.exec(readFileSync(status, "utf8"))[1]) : 0;
}

async function make(data, { sizes, format, quality }) {
  const thumbnails = [];
  for (const size of sizes) {
    const small = sharp(data).autoOrient().resize(size, size, { fit: "inside", withoutEnlargement: true });
    thumbnails.push(await small.toFormat(format, { quality }).toBuffer());
  }
  return thumbnails;
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  const data = read(request.file);
  let thumbnails = [];
  const cpu = process.cpuUsage();
  const start = process.hrtime.bigint();
  for (let i = 0; i < request.count; i++) thumbnails = await make(data, request);
  const wall = Number(process.hrtime.bigint() - start) / 1e9;
  const { user, system } = process.cpuUsage(cpu);
  if (request.save) writeFileSync(request.save, thumbnails[0]);
  const seconds = { wall: wall / request.count, cpu: (user + system) / 1e6 / request.count };
  console.log(JSON.stringify({ ...seconds, peak: peak() }));
}
