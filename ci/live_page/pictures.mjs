// The guide's pictures: one minute of a busy server, with a reader that ends late.

import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

import { settled } from "./looks.mjs";
import { Server, fail, lookUp } from "./server.mjs";

/** The largest size of a picture, in bytes. */
const LARGEST = 200_000;
/** The time that the charts show, and a little more, in milliseconds. */
const MINUTE = 63_000;

const WIDE = { width: 1200, height: 1000 };
/** The space below the last element of the wide picture. */
const MARGIN = 10;
const PHONE = { width: 390, height: 844 };

/** The requests, each with its second of the minute. */
const SCENE = [
  [6, "/reload"],
  [14, "/reload"],
  [17, "/hold?seconds=9"],
  [19, "/flood?callbacks=40000"],
  [20, "/reload"],
  [22, "/reload"],
  [31, "/reload"],
  [33, "/force"],
  [38, "/flood?callbacks=150000"],
  [43, "/reload"],
];

/** The presses in the wide page at its end: second, button, and the field with its value. */
const PRESSED = [
  [52, "hold", "#seconds", "20"],
  [55, "hold", "#seconds", "20"],
  [57, "flood", "#callbacks", "120000"],
  [58, "reload"],
  [59, "reload"],
];

async function post(url, path) {
  const answer = await fetch(url + path, { method: "POST" });
  if (!answer.ok) {
    fail(`POST ${path}: ${answer.status}: ${await answer.text()}`);
  }
}

/** Sends requests all the time, at a changing rate. */
async function traffic(url, began) {
  while (Date.now() - began < MINUTE + 20_000 && !traffic.over) {
    const seconds = (Date.now() - began) / 1000;
    await lookUp(url, 1500);
    await pause(12 + 9 * Math.sin(seconds / 5) + 4 * Math.random());
  }
}

/** The page down to the second stall report. */
async function throughReports(page) {
  const last = await page.locator("#reports > .stall").nth(1).boundingBox();
  const height = Math.ceil(last.y + last.height) + MARGIN;
  return { fullPage: true, clip: { x: 0, y: 0, width: WIDE.width, height } };
}

/** Puts the guide's two pictures into HTML, because rustdoc copies no files. */
async function inline(folder) {
  const picture = async (name, alt, { width }) => {
    const data = (await readFile(join(folder, name))).toString("base64");
    return `<img alt="${alt}" width="${width}" src="data:image/png;base64,${data}">\n`;
  };
  const wide = await picture(
    "live-wide-light.png",
    "The page: six figures with charts of the last minute, four buttons, stall reports",
    WIDE,
  );
  const phone = await picture("live-phone-dark.png", "The same page on a phone, dark", PHONE);
  return `${wide}\n${phone}`;
}

export async function takePictures({ browserPage, program, args, folder }) {
  await mkdir(folder, { recursive: true });
  const server = await Server.start(program, "127.0.0.1:0", ...args);
  const pages = {};
  for (const [name, viewport, colorScheme] of [["wide", WIDE, "light"], ["phone", PHONE, "dark"]]) {
    const { page } = await browserPage({ viewport, colorScheme });
    await page.goto(server.url);
    pages[name] = page;
  }
  const began = Date.now();
  const load = traffic(server.url, began);
  for (const [second, path] of SCENE) {
    await pause(Math.max(began + second * 1000 - Date.now(), 0));
    await post(server.url, path);
  }
  for (const [second, button, field, value] of PRESSED) {
    await pause(Math.max(began + second * 1000 - Date.now(), 0));
    if (field) {
      await pages.wide.fill(field, value);
    }
    await pages.wide.click(`#${button} button`);
  }
  await pages.wide.click("#lookup button");
  await pages.wide.evaluate(() => document.activeElement.blur());
  await pages.wide.mouse.move(0, 0);
  await pause(Math.max(began + MINUTE - Date.now(), 0));

  for (const [name, page] of Object.entries(pages)) {
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      await settled(page);
      const path = join(folder, `live-${name}-${colorScheme}.png`);
      await page.screenshot({ path, ...(name === "wide" ? await throughReports(page) : {}) });
      const { size } = await stat(path);
      console.log(`live_page: ${path}: ${size} bytes`);
      if (size > LARGEST) {
        fail(`${path} is larger than ${LARGEST} bytes`);
      }
    }
  }
  await writeFile(join(folder, "live.md"), await inline(folder));
  traffic.over = true;
  await load;
  for (const page of Object.values(pages)) {
    await page.context().close();
  }
  await server.stop();
}
