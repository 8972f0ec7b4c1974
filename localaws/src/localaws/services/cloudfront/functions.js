// Runs one CloudFront Function for each line on stdin, each in a context of its own. See functions.py.
"use strict";
const buffer = require("buffer");
const crypto = require("crypto");
const querystring = require("querystring");
const readline = require("readline");
const vm = require("vm");

const answer = process.stdout.write.bind(process.stdout);
process.stdout.write = (chunk, encoding, callback) => process.stderr.write(chunk, encoding, callback);

const IMPORT =
  /(^|;)\s*import(?:\s*\*\s*as\s+([\w$]+)|\s*\{([^}]*)\}|\s+([\w$]+))\s*from\s*['"]([^'"]+)['"]/gm;
const toRequire = (_all, before, star, names, standard, module) => {
  const source = `require(${JSON.stringify(module)})`;
  if (!names) return `${before}const ${star || standard} = ${source}`;
  return `${before}const {${names.replace(/([\w$]+)\s+as\s+([\w$]+)/g, "$1: $2")}} = ${source}`;
};

function store(request) {
  const { items, created, modified } = request.store;
  return {
    async get(key, options) {
      if (!Object.hasOwn(items, key)) throw new Error(`KeyNotFound: the key ${key} does not exist`);
      const format = (options && options.format) || "string";
      if (format === "json") return JSON.parse(items[key]);
      if (format === "bytes") return buffer.Buffer.from(items[key]);
      if (format === "string") return items[key];
      throw new Error(`InvalidFormat: ${format}`);
    },
    exists: async (key) => Object.hasOwn(items, key),
    count: async () => Object.keys(items).length,
    meta: async () => ({
      creationDateTime: created, lastUpdatedDateTime: modified, keyCount: Object.keys(items).length,
    }),
  };
}

function modules(request) {
  const known = { buffer, crypto: { createHash: crypto.createHash, createHmac: crypto.createHmac }, querystring };
  if (request.runtime !== "cloudfront-js-1.0") {
    known.cloudfront = {
      kvs() {
        if (!request.store) throw new Error("the function is not associated with a key value store");
        return store(request);
      },
    };
  }
  return (name) => {
    if (Object.hasOwn(known, name)) return known[name];
    throw new Error(`module not found: ${name}`);
  };
}

async function run(request) {
  const logs = [];
  const log = (...values) => logs.push(values.map((value) =>
    typeof value === "object" ? JSON.stringify(value) : String(value)).join(" "));
  const context = vm.createContext({
    require: modules(request), Buffer: buffer.Buffer, atob, btoa, TextDecoder, TextEncoder,
    console: { log, debug: log, info: log, warn: log, error: log },
  }, { codeGeneration: { strings: false, wasm: false } });
  const started = process.hrtime.bigint();
  const result = { logs };
  try {
    vm.runInContext("delete globalThis.WebAssembly; delete globalThis.SharedArrayBuffer;", context);
    const source = `"use strict"; ${request.code.replace(IMPORT, toRequire)}\n;globalThis.__run = async (event) =>
      JSON.stringify({ value: await handler(JSON.parse(event)) });`;
    vm.runInContext(source, context, { filename: "function.js" });
    Object.assign(result, JSON.parse(await context.__run(JSON.stringify(request.event))));
  } catch (error) {
    result.error = String(error);
  }
  result.milliseconds = Number(process.hrtime.bigint() - started) / 1e6;
  return result;
}

readline.createInterface({ input: process.stdin }).on("line", async (line) => {
  answer(JSON.stringify(await run(JSON.parse(line))) + "\n");
});
