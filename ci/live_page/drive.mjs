// Called by ci/route_server.sh: node drive.mjs PROGRAM CHROMIUM BUTTONS.RS [FOLDER [ARGUMENT...]]
// FOLDER is where the pictures go, and ARGUMENT what the server for the pictures is started with.
//
// Each check waits for the state that it expects. Nothing is timed.

import { readFile } from "node:fs/promises";

import { chromium } from "playwright-core";

import { checkAccessibility, checkWidth } from "./looks.mjs";
import { takePictures } from "./pictures.mjs";
import { HANG, Server, fail, lookUp } from "./server.mjs";

const [program, executable, buttons, pictures, ...pictureArgs] = process.argv.slice(2);

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

const step = (text) => console.log(`live_page: ${text}`);

/** Waits until `test` holds in the page. */
async function until(page, what, test, arg) {
  try {
    await page.waitForFunction(test, arg, { timeout: HANG, polling: 50 });
  } catch (error) {
    const seen = await page.evaluate(() => document.body.innerText).catch(() => "");
    fail(`${what}: ${error.message}\nThe page:\n${seen}`);
  }
}

const state = (page, wanted) =>
  until(
    page,
    `the stream is ${wanted}`,
    (w) => document.getElementById("connection").dataset.state === w,
    wanted,
  );
const value = (page, name, least, most = least) =>
  until(
    page,
    `the figure ${name} is ${least} to ${most}`,
    ([n, a, b]) => {
      const text = document.querySelector(`[data-value="${n}"]`).textContent;
      const number = Number(text.replace(/^v|,/g, ""));
      return number >= a && number <= b;
    },
    [name, least, most],
  );
const says = (page, selector, pattern) =>
  until(
    page,
    `${selector} says ${pattern}`,
    ([s, p]) => {
      const elements = [...document.querySelectorAll(s)];
      return elements.some((element) => new RegExp(p).test(element.textContent));
    },
    [selector, pattern],
  );
const note = (page, name, pattern) => says(page, `[data-note="${name}"]`, pattern);
const answer = (page, form, pattern) => says(page, `#${form}-answer`, pattern);

/** Collects errors and warnings of the console, except those that match an expected pattern. */
function listen(page) {
  const console = { errors: [], expected: [] };
  const hear = (text) => {
    if (!console.expected.some((pattern) => pattern.test(text))) {
      console.errors.push(text);
    }
  };
  page.on("pageerror", (error) => hear(`uncaught: ${error.message}`));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) {
      hear(`${message.type()}: ${message.text()} (${message.location().url})`);
    }
  });
  return console;
}

/** Presses the tab key until this element has the focus. */
async function tabTo(page, selector) {
  for (let presses = 0; presses < 60; presses++) {
    if (await page.evaluate((s) => document.activeElement?.matches(s), selector)) {
      return;
    }
    await page.keyboard.press("Tab");
  }
  fail(`the tab key does not lead to ${selector}`);
}

async function clickEachButton(page, url, place) {
  step("an address is looked up, and the count moves");
  await note(page, "lookups", "^0 in all");
  await page.click("#lookup button");
  await answer(page, "lookup", "AS13335 Cloudflare");
  await note(page, "lookups", "^1 in all");

  step("requests show as a rate");
  let more = true;
  const load = (async () => {
    while (more) {
      await lookUp(url, 200);
    }
  })();
  await value(page, "lookups", 1, Infinity).finally(() => (more = false));
  await load;

  step("Reload");
  await value(page, "version", 1);
  await page.click("#reload button");
  await answer(page, "reload", "^Version 2 is in use");
  await value(page, "version", 2);
  await until(
    page,
    "the latency is known",
    () => document.querySelector('[data-value="p99"]').textContent !== "–",
  );

  step("Hold: the stall report names the place");
  await page.fill("#seconds", "30");
  await page.click("#hold button");
  await answer(page, "hold", "^Version 2 is held for 30");
  await value(page, "guards", 1);
  await says(page, "#reports > .stall .place", place);
  const report = "blocked for .* by 1 read-side section; \\d+ callbacks? pending";
  await says(page, "#reports > .stall", report);

  step("Reload under it: the old version waits");
  await page.click("#reload button");
  await value(page, "version", 3);
  await value(page, "old", 1);

  step("Flood under it: callbacks wait");
  await page.fill("#callbacks", "5000");
  await page.click("#flood button");
  await answer(page, "flood", "^5,000 callbacks queued");
  await value(page, "pending", 5000, Infinity);

  step("Force: the holder is asked");
  await page.click("#force button");
  await answer(page, "force", "^Forced with");
  await says(page, "#reports > .force", "1 read-side section asked to end");
  await says(page, "#reports > .force .place", place);

  step("the guard goes, and all that waited for it");
  await value(page, "guards", 0);
  await value(page, "pending", 0);
  await value(page, "old", 0);
  await note(page, "pending", "^5,\\d{3} finished");
}

async function refuse(page, console) {
  step("what is out of bounds is refused, in words");
  console.expected = [/status of 400/];
  for (const [id, field, bad, words] of [
    ["hold", "#seconds", "99", "0.1 to 60 seconds, not 99"],
    ["flood", "#callbacks", "1000001", "1 to 1000000 callbacks"],
    ["flood", "#callbacks", "", "callbacks: "],
    ["lookup", "#address", "1.1.1", "not an IPv4 or IPv6 address"],
  ]) {
    await page.fill(field, bad);
    await page.click(`#${id} button`);
    await answer(page, id, words);
    if ((await page.getAttribute(field, "aria-invalid")) !== "true") {
      fail(`${field} is not marked as wrong`);
    }
  }
  await page.fill("#seconds", "5");
  await page.fill("#callbacks", "1000");
  await page.fill("#address", "1.1.1.1");
}

/** Uses keys only. No stall is reported here, so only the force can end the polite hold. */
async function byKeyboard(page) {
  step("by keyboard alone: each button, and the focus is seen");
  await page.evaluate(() => document.activeElement?.blur());
  await tabTo(page, ".skip");
  await page.keyboard.press("Enter");
  await tabTo(page, "#reload button");
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  if (outline === "none") {
    fail("the focus is not to be seen");
  }
  await page.keyboard.press("Enter");
  await answer(page, "reload", "^Version 2 is in use");
  await tabTo(page, "#polite");
  await page.keyboard.press("Space");
  await tabTo(page, "#seconds");
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.type("60");
  await page.keyboard.press("Enter");
  await answer(page, "hold", "^Version 2 is held for 1 min 0 s, or until asked");
  await value(page, "guards", 1);
  await tabTo(page, "#callbacks");
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.type("2000");
  await tabTo(page, "#flood button");
  await page.keyboard.press("Space");
  await value(page, "pending", 2000, Infinity);
  const held = Date.now();
  await tabTo(page, "#force button");
  await page.keyboard.press("Enter");
  await answer(page, "force", "^Forced with");
  await value(page, "guards", 0);
  await value(page, "pending", 0);
  if (Date.now() - held > 50_000) {
    fail("the holder did not release the guard when asked; the guard ended by itself");
  }
  step("the figures as a table, by keyboard");
  await tabTo(page, "#table summary");
  await page.keyboard.press("Enter");
  await says(page, "#table tbody th", "^now$");
  await page.keyboard.press("Enter");
}

async function main(browserPage) {
  const source = await readFile(buttons, "utf8");
  const line = source.split("\n").findIndex((text) => text.includes(".read_owned()")) + 1;
  const place = `^examples[/\\\\]route_server[/\\\\]buttons\\.rs:${line}:\\d+$`;
  const size = { width: 1280, height: 900 };

  let server = await Server.start(program, "127.0.0.1:0", "--stall-timeout", "1");
  const { page, console } = await browserPage({ viewport: size, colorScheme: "light" });
  const answered = await page.goto(server.url);
  const policy = answered.headers()["content-security-policy"] ?? "";
  if (!policy.includes("default-src 'none'") || policy.includes("unsafe")) {
    fail(`the content security policy: ${policy}`);
  }
  await state(page, "live");
  await clickEachButton(page, server.url, place);
  await checkWidth(page, [360, 320]);
  await checkAccessibility(page, [size, { width: 360, height: 780 }]);
  await refuse(page, console);

  step("a second viewer, and a pause");
  const second = await browserPage({
    viewport: { width: 360, height: 780 },
    colorScheme: "dark",
    reducedMotion: "reduce",
  });
  await second.page.goto(server.url);
  await state(second.page, "live");
  await says(second.page, "#reports .place", place);
  await second.page.click("#pause");
  await state(second.page, "paused");
  await page.click("#reload button");
  await value(page, "version", 4);
  await value(second.page, "version", 3);
  await second.page.click("#pause");
  await value(second.page, "version", 4);
  const moves = await second.page.$eval(
    "button",
    (button) => getComputedStyle(button).transitionDuration,
  );
  if (moves !== "0s") {
    fail(`with reduced motion, buttons change within ${moves}`);
  }

  step("the server ends under two open streams, and the page says so");
  console.expected.push(/ERR_/);
  second.console.expected.push(/ERR_/);
  await server.stop();
  await state(page, "lost");
  await says(page, "#connection", "^connection lost, trying again$");
  await page.click("#force button");
  await answer(page, "force", "the server does not answer");
  step("it is back, and the page finds it");
  server = await Server.start(program, server.listen, "--stall-timeout", "3600");
  await state(page, "live");
  await value(page, "version", 1);
  await state(second.page, "live");
  await second.page.context().close();
  console.expected = [];
  await byKeyboard(page);
  await page.context().close();
  await server.stop();

  const errors = [...console.errors, ...second.console.errors];
  if (errors.length > 0) {
    fail(`in the console:\n${errors.join("\n")}`);
  }
}

// The browser has a new and empty user-data folder, and removes it at the end.
const browser = await chromium.launch({
  executablePath: executable,
  headless: true,
  args: FLAGS,
  timeout: HANG,
});
const browserPage = async (options) => {
  const page = await (await browser.newContext(options)).newPage();
  page.setDefaultTimeout(HANG);
  return { page, console: listen(page) };
};
try {
  await main(browserPage);
  if (pictures) {
    step("pictures");
    await takePictures({ browserPage, program, args: pictureArgs, folder: pictures });
  }
  step("all checks pass");
} catch (error) {
  console.error(`live_page: ${error.message}`);
  process.exitCode = 1;
} finally {
  await browser.close();
}
process.exit();
