// Writes the bundle to the file that is named, with the licences of all that is in it.
import { build } from "esbuild";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const own = dirname(fileURLToPath(import.meta.url));
const result = await build({
  absWorkingDir: own, entryPoints: ["entry.js"], bundle: true, minify: true, format: "iife", globalName: "Plot", target: "es2020",
  legalComments: "none", charset: "utf8", metafile: true, write: false,
});
const packages = new Set(Object.keys(result.metafile.inputs).map((path) => path.match(/^node_modules\/((?:@[^/]+\/)?[^/]+)\//)?.[1]).filter(Boolean));
const texts = new Map(); // by licence text: those who share one are named together
for (const name of [...packages].sort()) {
  const dir = join(own, "node_modules", name), { version, license } = JSON.parse(await readFile(join(dir, "package.json"), "utf8"));
  const file = (await readdir(dir)).find((entry) => /^licen[cs]e/i.test(entry));
  const [copyright, text] = file ? split(await readFile(join(dir, file), "utf8")) : ["", `Licence: ${license}`];
  texts.set(text, [...(texts.get(text) ?? []), `${name} ${version}${copyright && `, ${copyright}`}`]);
}
const notices = [...texts].map(([text, names]) => `${names.join("\n")}\n\n${text}`).join("\n\n----\n\n");
const bundle = `/*! Observable Plot and what it needs, bundled by scripts/plot.\n\n${notices}\n*/\n${result.outputFiles[0].text.trim()}\n`;
for (const bad of ["</script", "<!--"]) if (bundle.includes(bad)) throw new Error(`the bundle has ${bad}, which would end the page's script`);
if (notices.includes("*/")) throw new Error("a licence ends the comment that holds it");
await writeFile(resolve(process.argv[2]), bundle);

// The copyright line apart from the text that many share.
function split(licence) {
  const lines = licence.replaceAll("\r", "").split("\n").map((line) => line.trim());
  const copyright = lines.filter((line) => /^copyright /i.test(line)).join("; ");
  return [copyright, lines.filter((line) => !/^copyright /i.test(line)).join("\n").replace(/\n{3,}/g, "\n\n").trim()];
}
