// Opens pages in the system's Chromium and says what is wrong with them:
//
//   node pages.mjs [--screenshots DIR] [--shots NAMES] LOGIN_LINK NAME:PATH...
//
// One JSON line for each page, width and colour scheme: {name, width, scheme, problems}. A problem is an error in the
// console, a refusal by the content policy, a page wider than the window, or a serious fault found by axe-core. Then
// the lines of `behaviours`: what scripts do on a page. --shots: only these pictures and heights, such as
// overview-1280-light@840.
import { readFileSync, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";

const { values, positionals } = parseArgs({
  options: { screenshots: { type: "string" }, shots: { type: "string" } },
  allowPositionals: true,
});
const [link, ...named] = positionals;
const pages = named.map((text) => [text.slice(0, text.indexOf(":")), text.slice(text.indexOf(":") + 1)]);
const origin = new URL(link).origin;
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const WIDTHS = [1280, 390];
const SCHEMES = ["light", "dark"];

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});
const context = await browser.newContext({ colorScheme: "light", locale: "en-GB", reducedMotion: "reduce" });
const page = await context.newPage();
let heard = [];
page.on("console", (message) => {
  if (message.type() === "error") heard.push(`console: ${message.text()} ${message.location().url}`);
});
page.on("pageerror", (error) => heard.push(`script: ${error.message}`));
await page.addInitScript(() => {
  document.addEventListener("securitypolicyviolation", (event) => {
    console.error(`policy: ${event.violatedDirective} refused ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`);
  });
});

const say = (line) => console.log(JSON.stringify(line));

async function open(path) {
  const answer = await page.goto(origin + path, { waitUntil: "load" });
  if (answer.status() !== 200 || page.url().includes("/admin/login/")) throw new Error(`${path} led to ${answer.status()} ${page.url()}`);
  await drawn();
}

// A chart that is in sight has been drawn.
const drawn = () =>
  page.waitForFunction(() =>
    [...document.querySelectorAll("[data-chart], [data-src]")]
      .filter((chart) => chart.getBoundingClientRect().top < innerHeight)
      .every((chart) => chart.querySelector("canvas")),
  );

async function faults() {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  return wide > 0 ? [`the page is ${wide} pixels wider than the window`] : [];
}

async function axeFaults() {
  await page.evaluate(AXE);
  const found = await page.evaluate(() =>
    axe.run(document, { resultTypes: ["violations"], runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"] }),
  );
  return found.violations
    .filter(({ impact }) => ["serious", "critical"].includes(impact))
    .map(({ id, help, nodes }) => `axe: ${id}: ${help}: ${nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(" | ")}`);
}

// With both widths and both schemes looked at, each once: a colour or a size that is wrong is wrong in both.
const isChecked = (width, scheme) => (width === 1280) === (scheme === "light");

async function shoot(name, width, scheme) {
  const picture = `${name}-${width}-${scheme}`;
  const shots = new Map((values.shots ?? "").split(",").map((shot) => shot.split("@")));
  if (!values.screenshots || (values.shots && !shots.has(picture))) return;
  const whole = await page.evaluate(() => document.documentElement.scrollHeight);
  await page.setViewportSize({ width, height: Math.min(whole, Number(shots.get(picture) ?? whole)) });
  await drawn();
  await page.screenshot({ path: `${values.screenshots}/${picture}.png`, animations: "disabled" });
  await page.setViewportSize({ width, height: 900 });
}

// Have the overview renew itself now, and wait until it has.
async function renew() {
  await page.evaluate(() => {
    document.querySelector(".figures dd").textContent = "stale";
    htmx.trigger(document.body, "refresh");
  });
  await page.waitForFunction(() => document.querySelector(".figures dd").textContent !== "stale");
}

async function behaviours() {
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.emulateMedia({ colorScheme: "light" });
  await open("/dashboard/");
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await ground();
  const toggle = page.locator("[data-theme-toggle]");
  await toggle.click();
  await toggle.click();
  const dark = await ground();
  await page.reload();
  say({ behaviour: "the choice of colours is remembered", passed: dark !== light && (await ground()) === dark });
  await page.evaluate(() => localStorage.removeItem("theme"));

  await open("/dashboard/");
  await page.evaluate(() => { document.querySelector("#chart-requests canvas").dataset.seen = "yes"; });
  await renew();
  const kept = await page.evaluate(() => document.querySelector("#chart-requests canvas").dataset.seen);
  say({ behaviour: "fresh figures come without a new chart", passed: kept === "yes" });

  await page.setViewportSize({ width: 390, height: 900 });
  await page.evaluate(() => { document.querySelector("[data-fresh] .scroll").scrollLeft = 40; });
  await renew();
  const left = await page.evaluate(() => document.querySelector("[data-fresh] .scroll").scrollLeft);
  say({ behaviour: "what was scrolled stays where it is", passed: left === 40 });

  await open("/dashboard/");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  const focused = await page.evaluate(() => document.activeElement.id);
  say({ behaviour: "the skip link leads to the content", passed: focused === "content" });
}

if (values.screenshots) mkdirSync(values.screenshots, { recursive: true });
try {
  await page.goto(link);
  for (const [name, path] of pages) {
    for (const width of WIDTHS) {
      heard = [];
      await page.emulateMedia({ colorScheme: "light" });
      await page.setViewportSize({ width, height: 900 });
      await open(path);
      for (const scheme of SCHEMES) {
        await page.emulateMedia({ colorScheme: scheme });
        await drawn();
        const problems = [...(await faults()), ...(isChecked(width, scheme) ? await axeFaults() : [])];
        await shoot(name, width, scheme);
        say({ name, width, scheme, problems: [...heard, ...problems] });
        heard = [];
      }
    }
  }
  if (!values.screenshots) await behaviours();
} finally {
  await browser.close();
}
