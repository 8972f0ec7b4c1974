// The AWS SDK for JavaScript v3, as far as functions find it in Lambda's Node.js runtimes: see `relay.py`.
"use strict";

const fs = require("node:fs");
const Module = require("node:module");
const path = require("node:path");
const { Readable } = require("node:stream");
const zlib = require("node:zlib");

// relay: the address for calls, and token: what it asks for; models: the folder of botocore's service models;
// aliases: the folders of packages with another name, and of names without hyphens.
exports.install = ({ relay, token, models, aliases }) => {
  const packages = new Map();
  const load = Module._load;
  Module._load = function (request, ...rest) {
    const name = /^@aws-sdk\/(client-[a-z0-9-]+|credential-providers)$/.exec(request)?.[1];
    if (!name) return load.call(this, request, ...rest);
    try {
      return load.call(this, request, ...rest); // the real package in the function's code
    } catch (error) {
      if (error.code !== "MODULE_NOT_FOUND") throw error;
      if (!packages.has(name)) packages.set(name, make(name, error));
      return packages.get(name);
    }
  };

  const make = (name, missing) => {
    if (name === "credential-providers") return { fromTemporaryCredentials };
    const id = name.slice("client-".length);
    const names = [aliases[id], id, aliases[id.replaceAll("-", "")]].filter(Boolean);
    const service = names.find((name) => fs.existsSync(path.join(models, name)));
    if (!service) throw missing;
    const folder = path.join(models, service);
    const file = path.join(folder, fs.readdirSync(folder).sort().at(-1), "service-2.json.gz");
    return clientPackage(service, JSON.parse(zlib.gunzipSync(fs.readFileSync(file))));
  };

  const clientPackage = (service, { metadata, operations }) => {
    class Client {
      constructor(config = {}) {
        this.given = config;
        this.config = { apiVersion: metadata.apiVersion, region: () => region(config) };
      }
      send(command) {
        return call(service, command.operation, command.input, this.given);
      }
      destroy() {}
    }
    class Aggregated extends Client {}
    const commands = {};
    for (const operation of Object.keys(operations)) {
      commands[`${operation}Command`] = class {
        constructor(input = {}) {
          Object.assign(this, { input, operation });
        }
      };
      Aggregated.prototype[operation[0].toLowerCase() + operation.slice(1)] = function (input) {
        return this.send(new commands[`${operation}Command`](input));
      };
    }
    const title = metadata.serviceId.replaceAll(" ", "");
    return { [`${title}Client`]: Client, [title]: Aggregated, ...commands };
  };

  const fromTemporaryCredentials = ({ params, clientConfig = {} }) => async () => {
    const { Credentials } = await call("sts", "AssumeRole", params, clientConfig);
    return {
      accessKeyId: Credentials.AccessKeyId,
      secretAccessKey: Credentials.SecretAccessKey,
      sessionToken: Credentials.SessionToken,
    };
  };

  const call = async (service, operation, input, config) => {
    const request = {
      service,
      operation,
      region: await region(config),
      credentials: (await resolved(config.credentials)) ?? {
        accessKeyId: process.env.AWS_ACCESS_KEY_ID,
        secretAccessKey: process.env.AWS_SECRET_ACCESS_KEY,
        sessionToken: process.env.AWS_SESSION_TOKEN,
      },
      input: encoded(input),
    };
    const headers = { "Authorization": `Bearer ${token}`, "Content-Type": "application/json" };
    const response = await fetch(relay, { method: "POST", headers, body: JSON.stringify(request) });
    if (!response.ok) throw new Error(`The relay of the embedded AWS answers ${response.status}`);
    const { output, error } = await response.json();
    if (error) throw Object.assign(new Error(error.message), error);
    return decoded(output);
  };
};

const resolved = async (value) => (typeof value === "function" ? value() : value);
const region = async (config) => (await resolved(config.region)) ?? process.env.AWS_REGION;

// JSON has no dates and bytes: they are objects with a single $ member.
const encoded = (value) => {
  if (value instanceof Date) return { $date: value.toISOString() };
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString("base64") };
  if (Array.isArray(value)) return value.map(encoded);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, encoded(member)]));
};

const decoded = (value) => {
  if (Array.isArray(value)) return value.map(decoded);
  if (value === null || typeof value !== "object") return value;
  if ("$date" in value) return new Date(value.$date);
  if ("$bytes" in value) return new Blob(Buffer.from(value.$bytes, "base64"));
  if ("$stream" in value) return stream(Buffer.from(value.$stream, "base64"));
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, decoded(member)]));
};

// What the SDK calls Uint8ArrayBlobAdapter: a blob that is not a stream.
class Blob extends Uint8Array {
  transformToString(encoding = "utf-8") {
    return Buffer.from(this).toString(encoding);
  }
}

const stream = (content) =>
  Object.assign(Readable.from(content.length ? [content] : []), {
    transformToString: async (encoding) => content.toString(encoding),
    transformToByteArray: async () => new Uint8Array(content),
    transformToWebStream: () => Readable.toWeb(Readable.from([content])),
  });
