import type { Plugin } from "esbuild";

/**
 * Node's own modules as a bundle gets them: one property each, without the module object that an import statement makes.
 * To make that object Node reads every export, and with the getters among them loads what nobody asked for (Web
 * Crypto, block lists, argument parsers): 1.2 MB of an idle agent.
 *
 * The names are those of the Node that bundles, which is the guest's own.
 */
export const builtins: Plugin = {
  name: "builtins",
  setup(build) {
    build.onResolve({ filter: /^node:/ }, ({ path }) => ({ path, namespace: "builtin" }));
    build.onLoad({ filter: /.*/, namespace: "builtin" }, ({ path }) => ({
      contents: path === FILES ? files() : source(path),
      loader: "js",
    }));
  },
};

const FILES = "node:fs/promises";

/** Exports that nobody imports fall away: their reading is marked as without effect. */
function source(path: string): string {
  const names = namesOf(path);
  return [
    `const all = /* @__PURE__ */ process.getBuiltinModule(${JSON.stringify(path)});`,
    ...names.map((name) => `const _${name} = /* @__PURE__ */ (() => all.${name})();`),
    `export { all as default, ${names.map((name) => `_${name} as ${name}`).join(", ")} };`,
  ].join("\n");
}

/**
 * The promises of `node:fs/promises` out of the callbacks of `node:fs`, which is there in any case; the other module
 * brings Node's line editor along, 0.6 MB. What has no such callback (file handles, watching) loads it when it is called.
 */
function files(): string {
  const withCallback = new Set(
    namesOf("node:fs").filter((name) => `${name}Sync` in process.getBuiltinModule("node:fs")),
  );
  // A file's descriptor is not the handle that the promise gives.
  for (const name of ["open", "opendir", "glob"]) withCallback.delete(name);
  const names = namesOf(FILES);
  return [
    `import fs from "node:fs";`,
    `const later = (name) => (...args) => new Promise((resolve, reject) => {`,
    `  fs[name](...args, (error, result) => (error ? reject(error) : resolve(result)));`,
    `});`,
    `const loaded = (name) => (...args) => process.getBuiltinModule("${FILES}")[name](...args);`,
    ...names.map((name) => {
      const make = withCallback.has(name) ? "later" : "loaded";
      return `const _${name} = /* @__PURE__ */ ${make}("${name}");`;
    }),
    `export { ${names.map((name) => `_${name} as ${name}`).join(", ")} };`,
  ].join("\n");
}

function namesOf(path: string): readonly string[] {
  const exported = process.getBuiltinModule(path);
  if (exported === undefined) throw new Error(`${path}: expected a module of Node`);
  return Object.keys(exported).filter((name) => /^[A-Za-z_]\w*$/u.test(name) && name !== "default");
}
