// Bundle the page's script and style into mergegraph/report/assets, with the licences of what is in them.
import { build } from "esbuild";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? join(here, "..", "mergegraph", "report", "assets");
const bundled = ["@dagrejs/dagre", "@dagrejs/graphlib"];

const common = { bundle: true, minify: true, charset: "utf8", legalComments: "none", logLevel: "warning" };
await build({
  ...common,
  entryPoints: { page: join(here, "src", "main.js") },
  outdir: out,
  format: "iife",
  target: ["chrome123", "firefox121", "safari17.5"],
});
await build({ ...common, entryPoints: { page: join(here, "src", "page.css") }, outdir: out });

const licences = bundled.map((name) => {
  const folder = join(here, "node_modules", name);
  const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  return `${name} ${version}\n\n${readFileSync(join(folder, "LICENSE"), "utf8").trim()}\n`;
});
writeFileSync(join(out, "LICENCES.txt"), `page.js contains:\n\n${licences.join("\n\n")}`);

// What the files were built from, so that a test can tell without npm whether they are up to date.
const sources = ["build.mjs", "package-lock.json", ...readdirSync(join(here, "src")).map((name) => `src/${name}`)];
const lines = sources.sort().map((name) => {
  const digest = createHash("sha256").update(readFileSync(join(here, name))).digest("hex");
  return `${digest}  ${name}\n`;
});
writeFileSync(join(out, "SOURCES.txt"), lines.join(""));
