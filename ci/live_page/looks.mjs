// What the page looks like: to axe-core, and on a narrow screen.

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

import { fail } from "./server.mjs";

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Waits until what changes by and by, colours among it, has changed. */
export const settled = (page) =>
  page.evaluate(async () => {
    await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    await Promise.allSettled(document.getAnimations().map((animation) => animation.finished));
  });

/** axe-core finds nothing, in no size, neither light nor dark. */
export async function checkAccessibility(page, sizes) {
  const before = page.viewportSize();
  // A rule that looks at what is behind `details` can only see it when that is open.
  await page.evaluate(() => document.querySelectorAll("details").forEach((details) => (details.open = true)));
  await page.evaluate(axe);
  for (const size of sizes) {
    for (const colorScheme of ["light", "dark"]) {
      await page.setViewportSize(size);
      await page.emulateMedia({ colorScheme });
      await settled(page);
      const { violations, passes } = await page.evaluate(() => globalThis.axe.run());
      console.log(`live_page: axe-core, ${colorScheme}, ${size.width} px: ${passes.length} rules passed`);
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
  await page.evaluate(() => document.querySelectorAll("details").forEach((details) => (details.open = false)));
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize(before);
}

/** On screens as wide as these there is nothing to scroll to at the side, but within the table. */
export async function checkWidth(page, widths) {
  const before = page.viewportSize();
  await page.evaluate(() => document.querySelectorAll("details").forEach((details) => (details.open = true)));
  for (const width of widths) {
    await page.setViewportSize({ width, height: 780 });
    // The charts are told of their new size in the next frame.
    await settled(page);
    const wide = await page.evaluate(() => {
      const root = document.documentElement;
      const beyond = [...document.body.querySelectorAll("*")]
        .filter((element) => !element.closest(".scroll, .hidden") && element.getBoundingClientRect().right > root.clientWidth + 1)
        .map((element) => `${element.tagName.toLowerCase()} ${element.id || element.className}`);
      return root.scrollWidth > root.clientWidth ? [`the page is ${root.scrollWidth} px wide`, ...beyond] : beyond;
    });
    if (wide.length > 0) {
      fail(`at ${width} px: ${wide.join("; ")}`);
    }
    console.log(`live_page: ${width} px: nothing is wider`);
  }
  await page.evaluate(() => document.querySelectorAll("details").forEach((details) => (details.open = false)));
  await page.setViewportSize(before);
}
