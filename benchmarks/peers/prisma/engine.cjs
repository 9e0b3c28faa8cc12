#!/usr/bin/env node
/*
Prisma's query engine as the process that the Python client starts.

The client expects a program that serves the engine over HTTP; its maker hands that program out on a
host of their own, not in a registry. The same engine as a library of Node (PRISMA_QUERY_ENGINE_LIBRARY)
did come in a package of theirs. This file is what stands between: one route for one method, and
nothing is decided here.

    engine.cjs -p PORT        [anything else is ignored]
    engine.cjs --version      what the client was made for, or it refuses to go on
*/
"use strict";

const fs = require("node:fs");
const http = require("node:http");

const MADE_FOR = "ac9d7041ed77bcc8a8dbd2ab6616b39013829574";
if (process.argv.includes("--version")) {
  console.log(`query-engine ${MADE_FOR}`);
  process.exit(0);
}

const port = Number(process.argv[process.argv.indexOf("-p") + 1]);
const { QueryEngine } = require(process.env.PRISMA_QUERY_ENGINE_LIBRARY);
const datamodel = fs.readFileSync(process.env.PRISMA_DML_PATH, "utf8");
const overrides = JSON.parse(process.env.OVERWRITE_DATASOURCES || "[]");
const NO_TRACE = JSON.stringify({});

const engine = new QueryEngine(
  {
    datamodel,
    env: process.env,
    logLevel: "error",
    logQueries: false,
    datasourceOverrides: Object.fromEntries(overrides.map(({ name, url }) => [name, url])),
    configDir: ".",
    ignoreEnvVarErrors: false,
  },
  () => {},
);

/** What a request asks of the engine, as JSON text; undefined = there is no such route. */
function asked(method, path, body, transaction) {
  if (method === "GET") return path === "/status" ? '{"status":"ok"}' : undefined;
  if (path === "/") return engine.query(body, NO_TRACE, transaction);
  if (path === "/transaction/start") return engine.startTransaction(body, NO_TRACE);
  const [, place, id, verb] = path.split("/");
  if (place !== "transaction") return undefined;
  if (verb === "commit") return engine.commitTransaction(id, NO_TRACE);
  return verb === "rollback" ? engine.rollbackTransaction(id, NO_TRACE) : undefined;
}

async function read(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts).toString("utf8");
}

async function serve(request, response) {
  const path = request.url.split("?")[0];
  let status = 200;
  let text;
  try {
    text = await asked(request.method, path, await read(request), request.headers["x-transaction-id"]);
    if (text === undefined) [status, text] = [404, "{}"];
    else if (path.startsWith("/transaction/") && "error_code" in JSON.parse(text)) status = 500;
  } catch (error) {
    [status, text] = [500, JSON.stringify({ message: String(error.message || error) })];
  }
  response.writeHead(status, { "content-type": "application/json" });
  response.end(text);
}

async function main() {
  await engine.connect(NO_TRACE);
  const server = http.createServer(serve);
  server.keepAliveTimeout = 75_000;
  server.listen(port, "127.0.0.1");
  // The client says SIGINT when it is done; an engine whose gateway was killed goes too.
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(0));
  const parent = process.ppid;
  setInterval(() => process.ppid === parent || process.exit(0), 500).unref();
}

main().catch((error) => {
  console.error(String(error.message || error));
  process.exit(1);
});
