/*
The SQL that makes an empty PostgreSQL fit a Prisma schema: what `prisma db push` would run, from the
schema engine as WebAssembly (its program is not in a registry). It asks no database.

    node schema.mjs schema.prisma > schema.sql       (in a folder with node_modules)
*/
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

const PACKAGE = "@prisma/schema-engine-wasm";
const here = createRequire(path.join(process.cwd(), "package.json"));
const glue = await import(pathToFileURL(here.resolve(`${PACKAGE}/schema_engine_bg`)));
const code = fs.readFileSync(
  path.join(process.cwd(), "node_modules", PACKAGE, "schema_engine_bg.wasm"),
);
const { instance } = await WebAssembly.instantiate(code, { "./schema_engine_bg.js": glue });
glue.__wbg_set_wasm(instance.exports);
instance.exports.__wbindgen_start();

const ok = (value) => ({ ok: true, value });
const empty = {
  provider: "postgres",
  adapterName: "nobody",
  getConnectionInfo: () => ok({ supportsRelationJoins: true, maxBindValues: 1000, schemaName: "public" }),
  queryRaw: async () => ok({ columnNames: [], columnTypes: [], rows: [] }),
  executeRaw: async () => ok(0),
  executeScript: async () => ok(undefined),
  startTransaction: async () => ({ ok: false }),
  dispose: async () => ok(undefined),
};
const factory = {
  provider: "postgres",
  adapterName: "nobody",
  connect: async () => ok(empty),
  connectToShadowDb: async () => ok(empty),
  errorRegistry: { consumeError: () => undefined },
};
const engine = await glue.SchemaEngine.new({ datamodels: undefined }, () => {}, factory);
const [, , file] = process.argv;
const difference = await engine.diff({
  from: { tag: "empty" },
  to: { tag: "schemaDatamodel", files: [{ path: file, content: fs.readFileSync(file, "utf8") }] },
  script: true,
  shadowDatabaseUrl: null,
  exitCode: null,
  filters: { externalTables: [], externalEnums: [] },
});
process.stdout.write(difference.stdout);
