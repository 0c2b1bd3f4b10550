// The live page and the playground in Chromium. PATCHBAY_URL and PATCHBAY_LINK (the one-time login) say where; the last
// line of output is what happened, as JSON. With SHOTS=directory it leaves pictures there.
import { chromium } from "playwright-core";

const url = process.env.PATCHBAY_URL;
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox", "--disable-gpu"] });
const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
const complaints = [];
const told = {};

async function open(path) {
  const page = await context.newPage();
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(`${path}: ${message.text()}`);
  });
  page.on("pageerror", (error) => complaints.push(`${path}: ${error}`));
  await page.goto(path.startsWith("http") ? path : url + path);
  return page;
}

function ask(model, fields = {}) {
  const body = { model, messages: [{ role: "user", content: "ping" }], ...fields };
  return fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", "user-agent": "<img src=x onerror=alert(1)>" },
    body: JSON.stringify(body),
  });
}

try {
  await (await open(process.env.PATCHBAY_LINK)).close();

  // A request shows on the live page within a second of its end, and stands there as text.
  const live = await open("/dashboard/live/");
  await live.waitForSelector("#link.ok");
  const nasty = "<b>not bold</b>";
  const answer = await ask(nasty);
  await answer.text();
  const ended = Date.now();
  await live.waitForFunction((id) => [...document.querySelectorAll("#ended tr")].some((row) => row.request === id), answer.headers.get("x-patchbay-request-id"));
  told.shownAfterMs = Date.now() - ended;
  told.firstModel = await live.textContent("#ended tr button.link");

  // A running stream is stopped with the keyboard alone.
  const running = ask("demo:demo+endless,gap=20ms", { stream: true });
  await live.waitForSelector("#running tr .tag:text('streaming')");
  const stop = live.locator("#running tr button.danger");
  await stop.focus();
  await live.keyboard.press("Enter");
  told.asksAgain = await stop.textContent();
  await live.keyboard.press("Enter");
  told.stopped = (await (await running).text()).includes("stopped by the operator");
  await live.waitForSelector("#running-none:visible");
  await live.waitForSelector("#ended tr .tag:text('200 cancelled')");

  // One request opens in a dialog; the arrow keys go from one to the next.
  await live.locator("#ended tr button.link").first().focus();
  await live.keyboard.press("ArrowDown");
  await live.keyboard.press("Enter");
  told.dialog = await live.textContent("#one-title");
  await live.keyboard.press("Escape");

  // The filter is the server's, and the address keeps it.
  await live.fill("#filter [name=model]", "not bold");
  await live.waitForFunction(() => document.querySelectorAll("#ended tr").length === 1);
  told.address = new URL(live.url()).search;
  await live.click("#pause");
  told.paused = await live.textContent("#link");
  await live.close();

  // The overview renews itself when something has happened, and now and then where it hears nothing.
  const requests = (page) => page.textContent(".figures dd").then(Number);
  const fresh = (page) => page.waitForResponse((answer) => answer.request().headers()["hx-request"] === "true");
  const heard = await context.newPage();
  const listening = heard.waitForEvent("websocket");
  await heard.goto(`${url}/dashboard/`);
  await listening;
  const before = await requests(heard);
  const asked = Date.now();
  await Promise.all([fresh(heard), ask("demo").then((done) => done.text())]);
  told.renewedAfterMs = Date.now() - asked;
  await heard.waitForFunction((known) => Number(document.querySelector(".figures dd").textContent) > known, before);
  await heard.close();

  const deaf = await context.newPage();
  await deaf.clock.install();
  await deaf.routeWebSocket(/ws\/live/, (socket) => socket.close());
  await deaf.goto(`${url}/dashboard/accounts/`);
  let looks = 0;
  deaf.on("request", (request) => { looks += request.headers()["hx-request"] === "true" ? 1 : 0; });
  await deaf.clock.fastForward(29000);
  told.looksBefore = looks;
  await Promise.all([fresh(deaf), deaf.clock.fastForward(2000)]);
  told.looksAfter = looks;
  await deaf.close();

  // The playground streams two answers side by side, and one can be stopped.
  const play = await open("/dashboard/playground/");
  await play.fill("[name=prompt]", "Say hello");
  await play.locator(".side [name=model]").first().fill("demo");
  await play.click("#add");
  await play.locator(".side [name=model]").nth(1).fill("demo:demo+text=%3Cb%3Ebold%3C/b%3E");
  await play.locator(".side [name=account]").nth(1).selectOption("demo-2");
  await play.click("#send");
  await play.waitForFunction(() => document.querySelectorAll(".answer-card .tag.ok").length === 2);
  told.answers = await play.locator(".answer-card pre.said").allTextContents();
  told.facts = await play.locator(".answer-card dl").allTextContents();
  await play.locator(".side .remove").nth(1).click();
  await play.locator(".side [name=model]").first().fill("demo:demo+endless,gap=20ms");
  await play.click("#send");
  await play.waitForSelector(".answer-card .tag:text('streaming')");
  await play.click("#stop");
  await play.waitForSelector(".answer-card .tag:text('stopped')");
  await play.close();

  // The list filters without a new page, and its address can be kept.
  const list = await open("/dashboard/requests/");
  await list.selectOption("[name=outcome]", "cancelled");
  await list.waitForURL(/outcome=cancelled/);
  await list.waitForFunction(() => [...document.querySelectorAll("#found td .tag")].every((tag) => tag.textContent.includes("cancelled")));
  told.cancelled = await list.locator("#found tbody tr").count();
  told.search = new URL(list.url()).search;
  await list.goBack();
  await list.waitForFunction(() => document.querySelectorAll("#found tbody tr").length > 2);
  await list.goForward();
  await list.waitForFunction(() => document.querySelectorAll("#found tbody tr").length === 2);
  await list.locator("#found tbody tr a").last().click();
  await list.waitForSelector("table.timeline");
  told.error = await list.textContent(".fault p");
} finally {
  told.complaints = complaints;
  await browser.close();
  console.log(JSON.stringify(told));
}
