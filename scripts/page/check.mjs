// Looks at a page as a browser does: sizes, themes, keyboard, axe. What it finds goes to
// standard output as JSON; the judgement is that of the proof `page`.
//
//   node check.mjs CHROMIUM MODULES PAGE whole|half|brief [SCREENSHOTS]
//
// half judges each view once; brief is one look at each theme, and no more.
import { createRequire } from "node:module";
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [chromium, modules, page, extent, screenshots] = process.argv.slice(2);
const require = createRequire(join(resolve(modules), "index.js"));
const { chromium: browsers } = require("playwright-core");
const axe = await readFile(require.resolve("axe-core/axe.min.js"), "utf8");
const address = pathToFileURL(resolve(page)).href;

const browser = await browsers.launch({
  executablePath: chromium, headless: true,
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--force-color-profile=srgb"],
});
const found = { browser: browser.version(), views: [] };
try {
  const views = extent === "brief" ? [[390, "light"], [1440, "dark"]] : [[390, "light"], [390, "dark"], [1440, "light"], [1440, "dark"]];
  for (const [width, theme] of views) found.views.push(await look(width, theme));
  if (extent !== "brief") {
    found.keyboard = await walk();
    found.withoutScript = await plain();
    found.print = await paper();
  }
} finally {
  await browser.close();
}
process.stdout.write(JSON.stringify(found, null, 1) + "\n");

async function open(options, javaScriptEnabled = true) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, reducedMotion: "reduce", javaScriptEnabled, bypassCSP: false, ...options });
  const tab = await context.newPage();
  const console = [], requests = [];
  tab.on("console", (message) => ["error", "warning"].includes(message.type()) && console.push(`${message.type()}: ${message.text()}`));
  tab.on("pageerror", (error) => console.push(`exception: ${error.message}`));
  tab.on("request", (request) => !request.url().startsWith("data:") && requests.push(request.url()));
  await tab.goto(address, { waitUntil: "load" });
  if (javaScriptEnabled) await tab.waitForFunction(() => document.fonts.status === "loaded" && document.documentElement.classList.contains("js"));
  return { context, tab, console, requests };
}

// One size and theme, with its tables closed and then all open.
async function look(width, colorScheme) {
  const { context, tab, console, requests } = await open({ viewport: { width, height: width < 600 ? 844 : 900 }, colorScheme });
  const overflow = () => tab.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  const sideways = [await overflow()];
  const view = {
    width, theme: colorScheme,
    plots: await tab.locator("figure[data-plot]").count(),
    drawn: await tab.locator("figure[data-plot] .canvas svg").count(),
    empty: await tab.evaluate(() => [...document.querySelectorAll("figure[data-plot]")].filter((f) => !f.querySelector(".canvas").hasChildNodes()).map((f) => f.dataset.plot)),
    tables: await tab.locator("table").count(),
    background: await tab.evaluate(() => getComputedStyle(document.body).backgroundColor),
  };
  if (screenshots) {
    for (const id of ["glance", "use", "retirement", "compliance", "uptake", "quality"]) {
      await tab.evaluate((of) => (of === "glance" ? scrollTo(0, 0) : document.getElementById(of)?.scrollIntoView()), id);
      await tab.screenshot({ path: join(screenshots, `report-${width}-${colorScheme}-${id}.png`) });
    }
  }
  // All of axe's rules over thousands of cells take seconds: short of a whole look, either
  // theme and either width sees open tables once and closed ones once.
  const opened = extent === "whole" || width < 600 === (colorScheme === "dark");
  view.violations = extent === "whole" || !opened ? await audit(tab) : [];
  await tab.evaluate(() => document.querySelectorAll("details").forEach((part) => (part.open = true)));
  sideways.push(await overflow());
  if (opened) view.violations.push(...(await audit(tab)));
  Object.assign(view, { sideways: Math.max(...sideways), console, requests });
  await context.close();
  return view;
}

// axe with every rule that it has, best practices too. The page's policy forbids foreign
// scripts in the page; the debugger's are not the page's.
async function audit(tab) {
  await tab.evaluate(axe);
  const { violations } = await tab.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  return violations.map((v) => `${v.id}: ${v.help} (${v.nodes.length}): ${v.nodes.slice(0, 3).map((n) => n.target.join(" ")).join("; ")}`);
}

// Tab from the beginning to the end: every control must be reached, and seen.
async function walk() {
  const { context, tab } = await open({ viewport: { width: 390, height: 844 } });
  const controls = await tab.evaluate(() => {
    const all = [...document.querySelectorAll("a[href], summary, input:checked, [tabindex='0']")].filter((e) => e.checkVisibility());
    all.forEach((e, i) => (e.dataset.walk = i));
    return all.length;
  });
  const reached = new Set(), unseen = [];
  for (let step = 0; step < controls * 3 + 10; step++) {
    await tab.keyboard.press("Tab");
    const at = await tab.evaluate(() => {
      const e = document.activeElement;
      if (!e || e === document.body) return null;
      const s = getComputedStyle(e), box = e.getBoundingClientRect();
      return { walk: e.dataset.walk ?? null, name: e.textContent.trim().slice(0, 40), seen: s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2 && box.width > 0 && box.bottom > 0 && box.top < innerHeight };
    });
    if (!at) break;
    if (!at.seen) unseen.push(at.name);
    if (at.walk !== null) reached.add(at.walk);
  }
  // What the keys do: the skip link, a table, a choice.
  await tab.evaluate(() => { document.activeElement?.blur(); scrollTo(0, 0); });
  await tab.keyboard.press("Tab");
  const first = await tab.evaluate(() => document.activeElement.textContent.trim());
  await tab.keyboard.press("Enter");
  const skipped = await tab.evaluate(() => document.activeElement.id);
  const opened = await tab.evaluate(() => document.querySelector("summary")?.focus()).then(async () => {
    await tab.keyboard.press("Enter");
    return tab.evaluate(() => document.querySelector("details")?.open ?? null);
  });
  const scrolled = await tab.evaluate(() => {
    const region = [...document.querySelectorAll(".scroll")].find((e) => e.checkVisibility() && e.scrollWidth > e.clientWidth);
    region?.focus();
    return Boolean(region);
  }).then(async (wide) => {
    if (!wide) return null;
    for (let i = 0; i < 5; i++) await tab.keyboard.press("ArrowRight");
    return tab.waitForFunction(() => document.activeElement.scrollLeft > 0, null, { timeout: 15000 }).then(() => true, () => false);
  });
  const chosen = await tab.evaluate(() => document.querySelector("#heat-choice input")?.focus()).then(async () => {
    if (!(await tab.locator("#heat-choice").count())) return null;
    await tab.keyboard.press("ArrowDown");
    return tab.evaluate(() => [...document.querySelectorAll(".heat")].filter((e) => !e.hidden).map((e) => e.id).join(" "));
  });
  await context.close();
  return { controls, reached: reached.size, unseen, first, skipped, opened, scrolled, chosen };
}

// Without a script every table is there.
async function plain() {
  const { context, tab, console } = await open({}, false);
  const result = { tables: await tab.locator("table").count(), heat: await tab.locator(".heat:visible").count(), plotsShown: await tab.locator("figure[data-plot]:visible").count(), console };
  await context.close();
  return result;
}

// On paper every table is open, and the page is light.
async function paper() {
  const { context, tab } = await open({ colorScheme: "dark" });
  const pdf = await tab.pdf({ format: "A4" });
  await tab.emulateMedia({ media: "print" });
  await tab.evaluate(() => dispatchEvent(new Event("beforeprint")));
  const result = await tab.evaluate(() => ({
    closed: document.querySelectorAll("details:not([open])").length,
    background: getComputedStyle(document.body).backgroundColor,
    ink: getComputedStyle(document.body).color,
  }));
  await context.close();
  return { ...result, bytes: pdf.length };
}
