// The looks of the page: for axe-core, and on a narrow screen.

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

import { fail } from "./server.mjs";

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Waits until gradual changes, such as those of colours, are over. */
export const settled = (page) =>
  page.evaluate(async () => {
    await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    await Promise.allSettled(document.getAnimations().map((animation) => animation.finished));
  });

/** Opens or closes all `details` elements. */
const openAll = (page, open) =>
  page.evaluate((open) => {
    document.querySelectorAll("details").forEach((details) => (details.open = open));
  }, open);

/** Fails if axe-core finds a problem, in any size, in light or dark colours. */
export async function checkAccessibility(page, sizes) {
  const before = page.viewportSize();
  // A rule sees the content of a `details` element only when the element is open.
  await openAll(page, true);
  await page.evaluate(axe);
  for (const size of sizes) {
    for (const colorScheme of ["light", "dark"]) {
      await page.setViewportSize(size);
      await page.emulateMedia({ colorScheme });
      await settled(page);
      const { violations, passes } = await page.evaluate(() => globalThis.axe.run());
      const where = `${colorScheme}, ${size.width} px`;
      console.log(`live_page: axe-core, ${where}: ${passes.length} rules passed`);
      if (violations.length > 0) {
        const each = violations.flatMap(({ id, help, nodes }) =>
          nodes.map(({ html, failureSummary }) => `${id}: ${help}\n  ${html}\n  ${failureSummary}`),
        );
        fail(`axe-core, ${colorScheme}, ${size.width} px:\n${each.join("\n")}`);
      }
      if (!passes.some(({ id }) => id === "color-contrast")) {
        fail("axe-core did not look at the contrast");
      }
    }
  }
  await openAll(page, false);
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize(before);
}

/** Fails if a page of one of these widths scrolls sideways, except within the table. */
export async function checkWidth(page, widths) {
  const before = page.viewportSize();
  await openAll(page, true);
  for (const width of widths) {
    await page.setViewportSize({ width, height: 780 });
    // The charts learn their new size in the next frame.
    await settled(page);
    const wide = await page.evaluate(() => {
      const root = document.documentElement;
      const isBeyond = (element) =>
        !element.closest(".scroll, .hidden") &&
        element.getBoundingClientRect().right > root.clientWidth + 1;
      const beyond = [...document.body.querySelectorAll("*")]
        .filter(isBeyond)
        .map((element) => `${element.tagName.toLowerCase()} ${element.id || element.className}`);
      const isWide = root.scrollWidth > root.clientWidth;
      return isWide ? [`the page is ${root.scrollWidth} px wide`, ...beyond] : beyond;
    });
    if (wide.length > 0) {
      fail(`at ${width} px: ${wide.join("; ")}`);
    }
    console.log(`live_page: ${width} px: nothing is wider`);
  }
  await openAll(page, false);
  await page.setViewportSize(before);
}
