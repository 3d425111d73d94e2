// What a visitor does with the page; see page.sh. Ends with an error at the first thing that is not as it should be.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { deflateSync, crc32 } from "node:zlib";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";

const { chromium } = createRequire(join(process.env.PLAYWRIGHT, "node_modules", "x.js"))("playwright-core");
const [address, ...given] = process.argv.slice(2);
const shots = process.env.SCREENSHOTS;
if (shots) mkdirSync(shots, { recursive: true });

// A picture for runs without a photo: rings of colour.
function picture(hue) {
  const side = 200;
  const rows = Buffer.alloc(side * (1 + 3 * side));
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const far = Math.hypot(x - side / 2, y - side / 2);
      const at = y * (1 + 3 * side) + 1 + 3 * x;
      rows[at] = far < 60 ? 240 : 120;
      rows[at + 1] = far < 60 ? 180 : hue;
      rows[at + 2] = far < 30 ? 40 : 90;
    }
  }
  const chunk = (kind, data) => {
    const body = Buffer.concat([Buffer.from(kind), data]);
    const out = Buffer.alloc(body.length + 8);
    out.writeUInt32BE(data.length, 0);
    body.copy(out, 4);
    out.writeUInt32BE(crc32(body), body.length + 4);
    return out;
  };
  const head = Buffer.alloc(13);
  head.writeUInt32BE(side, 0);
  head.writeUInt32BE(side, 4);
  head.set([8, 2, 0, 0, 0], 8);
  const file = join(tmpdir(), `galley-page-${process.pid}-${hue}.png`);
  writeFileSync(file, Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), chunk("IHDR", head), chunk("IDAT", deflateSync(rows)), chunk("IEND", Buffer.alloc(0))]));
  return file;
}
const photos = given.length ? given : [picture(90), picture(160)];
const classes = ["Bread", "Dairy product", "Dessert", "Egg", "Fried food", "Meat", "Noodles/Pasta", "Rice", "Seafood", "Soup", "Vegetable/Fruit"];

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox", "--disable-gpu"] });
// What Chromium writes when a photo is refused, as it should be.
const refusal = /status of 4\d\d/;
let done = 0;
async function check(what, options, steps) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => message.type() === "error" && !refusal.test(message.text()) && errors.push(message.text()));
  await page.goto(address);
  await steps(page, context);
  assert.deepEqual(errors, [], `${what}: the console is quiet`);
  await context.close();
  console.log(`ok  ${what}`);
  done += 1;
}
const shot = async (page, name) => {
  // What is under way settles first.
  await page.waitForTimeout(300);
  if (shots) await page.screenshot({ path: join(shots, name), fullPage: true });
};
const desk = { viewport: { width: 1280, height: 900 } };
const phone = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

await check("a photo chosen shows its class", desk, async (page) => {
  await page.setInputFiles("#file", photos[0]);
  await page.waitForSelector("#previews img");
  await page.click("#send");
  await page.waitForSelector(".class-name");
  assert.ok(classes.includes(await page.textContent(".class-name")));
  assert.equal(await page.locator("tbody tr").count(), 11);
  assert.match(await page.textContent(".sure"), /\d %/);
  assert.equal(await page.locator("#history-list li").count(), 1);
  await shot(page, "page-desktop.png");
});
await check("the same on a phone, in the dark", { ...phone, colorScheme: "dark" }, async (page) => {
  assert.ok(await page.isVisible("#camera-label"));
  await page.setInputFiles("#file", photos[0]);
  await page.click("#send");
  await page.waitForSelector(".class-name");
  const wider = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
  assert.equal(wider, false, "nothing is wider than the phone");
  await shot(page, "page-phone.png");
});
await check("several photos get an answer each, and names stay apart", desk, async (page) => {
  await page.setInputFiles("#file", photos);
  await page.click("#send");
  await page.waitForFunction((count) => document.querySelectorAll("#result .card").length === count, photos.length);
  const ids = await page.$$eval("[id]", (all) => all.map((element) => element.id));
  assert.equal(new Set(ids).size, ids.length);
});
await check("a photo can be dropped and pasted", desk, async (page) => {
  const data = readFileSync(photos[0]).toString("base64");
  for (const kind of ["drop", "paste"]) {
    await page.evaluate(([kind, data, name]) => {
      const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
      const transfer = new DataTransfer();
      transfer.items.add(new File([bytes], name, { type: name.endsWith("png") ? "image/png" : "image/jpeg" }));
      const event = kind === "drop"
        ? new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true })
        : new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true });
      (kind === "drop" ? document.getElementById("drop") : document).dispatchEvent(event);
    }, [kind, data, basename(photos[0])]);
    await page.waitForSelector("#previews img");
    await page.click("#send");
    await page.waitForSelector(".class-name");
  }
  await page.reload();
  assert.equal(await page.locator("#history-list li").count(), 2, "the browser remembers");
  await page.click("#forget");
  assert.equal(await page.isVisible("#history"), false);
});
await check("an answer can be called wrong", desk, async (page) => {
  await page.setInputFiles("#file", photos[0]);
  await page.click("#send");
  await page.click(".review summary");
  await page.selectOption(".review select", "Soup");
  await page.click(".review button");
  await page.waitForSelector("[role=status]");
  assert.match(await page.textContent("[role=status]"), /right class is noted/);
});
await check("a file that is no photo is explained", desk, async (page) => {
  const file = join(tmpdir(), `galley-page-${process.pid}.txt`);
  writeFileSync(file, "no photo");
  await page.setInputFiles("#file", file);
  await page.click("#send");
  await page.waitForSelector("[role=alert]");
  assert.match(await page.textContent("[role=alert]"), /G0703/);
});
await check("all of it works from the keyboard", desk, async (page) => {
  await page.setInputFiles("#file", photos[0]);
  await page.focus("#file");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  await page.focus("#send");
  await page.keyboard.press("Enter");
  await page.waitForSelector(".class-name");
  assert.equal(await page.evaluate(() => document.activeElement.id), "result", "the answer has the focus");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.tagName), "SUMMARY");
  await page.keyboard.press("Enter");
  assert.ok(await page.isVisible(".review select"));
});
await check("every control has a name, and text has contrast", desk, async (page) => {
  await page.setInputFiles("#file", photos[0]);
  await page.click("#send");
  await page.waitForSelector(".class-name");
  for (const scheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: scheme });
    const faults = await page.evaluate(() => {
      const faults = [];
      const numbers = (colour) => colour.match(/[\d.]+/g).map(Number);
      const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
      const ground = (element) => {
        for (let at = element; at; at = at.parentElement) {
          const colour = numbers(getComputedStyle(at).backgroundColor);
          if (colour.length < 4 || colour[3] > 0) return colour;
        }
        return [255, 255, 255];
      };
      for (const element of document.querySelectorAll("h1,h2,p,th,td.number,strong,small,button,summary,a,caption,span")) {
        if (!element.checkVisibility() || !element.textContent.trim()) continue;
        const style = getComputedStyle(element);
        const [a, b] = [light(numbers(style.color)), light(ground(element))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        const large = parseFloat(style.fontSize) >= 24;
        if (ratio < (large ? 3 : 4.5)) faults.push(`${element.tagName} "${element.textContent.trim().slice(0, 30)}" ${ratio.toFixed(2)}`);
      }
      for (const control of document.querySelectorAll("input,select")) {
        if (!control.labels?.length) faults.push(`no label: ${control.id || control.name}`);
      }
      for (const image of document.querySelectorAll("img:not([alt])")) faults.push(`no alt: ${image.src.slice(0, 40)}`);
      return faults;
    });
    assert.deepEqual(faults, [], scheme);
  }
});
await check("it works without a script", { ...desk, javaScriptEnabled: false }, async (page) => {
  await page.setInputFiles("#file", photos);
  await page.click("#send");
  await page.waitForSelector(".class-name");
  assert.equal(await page.locator(".class-name").count(), photos.length);
  await page.locator(".review summary").first().click();
  await page.locator(".review button").first().click();
  await page.waitForSelector("[role=status]");
  assert.match(await page.textContent("[role=status]"), /noted/);
});
await browser.close();
console.log(`${done} checks passed`);
