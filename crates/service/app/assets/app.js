// The page works without this script; with it there are previews, dropping, pasting, a history, and no reload.
"use strict";
const byId = (id) => document.getElementById(id);
const form = byId("form");
const input = byId("file");
const camera = byId("camera");
const drop = byId("drop");
const previews = byId("previews");
const prompt = byId("prompt");
const button = byId("send");
const label = byId("label");
const result = byId("result");
const maxBytes = Number(form.dataset.maxBytes);
const HISTORY = "gourmetgram.history";
const REMEMBERED = 24;

document.documentElement.classList.add("js");
byId("address").textContent = new URL("./", location.href).href;
if (matchMedia("(pointer: coarse)").matches) byId("camera-label").hidden = false;

function card(title, lines, bad) {
  const section = document.createElement("section");
  section.className = bad ? "card error" : "card";
  section.setAttribute("role", bad ? "alert" : "status");
  const heading = document.createElement("h2");
  heading.textContent = title;
  section.append(heading);
  for (const text of lines) {
    const line = document.createElement("p");
    line.textContent = text;
    section.append(line);
  }
  return section;
}
const complaint = (message, remedy) => card("That did not work", [message, remedy], true);

function show() {
  for (const image of previews.children) URL.revokeObjectURL(image.src);
  previews.replaceChildren();
  for (const file of input.files) {
    const image = document.createElement("img");
    image.src = URL.createObjectURL(file);
    image.alt = `Preview of ${file.name}`;
    // A file that the browser cannot show may still be one that the server explains.
    image.addEventListener("error", () => image.remove());
    previews.append(image);
  }
  const chosen = input.files.length > 0;
  previews.hidden = !chosen;
  prompt.hidden = chosen;
  drop.classList.toggle("chosen", chosen);
}

function choose(files) {
  const images = [...files].filter((file) => file.type.startsWith("image/") || !file.type);
  if (!images.length) return;
  const transfer = new DataTransfer();
  for (const file of images) transfer.items.add(file);
  input.files = transfer.files;
  show();
}

function busy(text) {
  button.disabled = Boolean(text);
  button.classList.toggle("busy", Boolean(text));
  label.textContent = text || "What is it?";
}

// The cards that the server makes for one photo.
async function ask(file) {
  if (file.size > maxBytes) {
    return [complaint(`${file.name} has ${file.size} bytes, more than the ${maxBytes} allowed.`, "Make the photo smaller and send it again.")];
  }
  const body = new FormData();
  body.append("file", file);
  try {
    const answer = await fetch(form.action, { method: "POST", body, headers: { accept: "text/html" }, signal: AbortSignal.timeout(60000) });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const cards = [...(page.getElementById("result")?.children ?? [])];
    if (answer.ok) remember(page);
    return cards.length ? cards : [complaint("The server gave an answer that cannot be shown.", "Try again in a moment.")];
  } catch {
    return [complaint("The server could not be reached.", "See that it runs, and try again.")];
  }
}

async function send() {
  const files = [...input.files];
  result.replaceChildren();
  for (const [index, file] of files.entries()) {
    busy(files.length > 1 ? `Looking at ${index + 1} of ${files.length}` : "Looking at it");
    const cards = await ask(file);
    for (const card of cards) {
      // Several answers on one page must not share names.
      for (const element of card.querySelectorAll("[id],[for],[aria-labelledby]")) renumber(element, index);
      renumber(card, index);
    }
    result.append(...cards);
    if (index === 0) {
      result.focus({ preventScroll: true });
      result.scrollIntoView({ block: "nearest", behavior: "smooth" });
    }
  }
  busy("");
}

function renumber(element, index) {
  for (const name of ["id", "for", "aria-labelledby"]) {
    const value = element.getAttribute(name);
    if (value) element.setAttribute(name, value.replace(/-1$/, `-${index + 1}`));
  }
}

function history() {
  try {
    const kept = JSON.parse(localStorage.getItem(HISTORY) ?? "[]");
    return Array.isArray(kept) ? kept : [];
  } catch {
    return [];
  }
}

function remember(page) {
  const name = page.querySelector(".class-name")?.textContent;
  if (!name) return;
  const picture = page.querySelector(".answer img")?.getAttribute("src") ?? "";
  const sure = page.querySelector(".sure strong")?.textContent ?? "";
  try {
    localStorage.setItem(HISTORY, JSON.stringify([{ name, picture, sure }, ...history()].slice(0, REMEMBERED)));
  } catch {
    // The browser's store is full or switched off; the answer is shown all the same.
    localStorage.removeItem(HISTORY);
  }
  showHistory();
}

function showHistory() {
  const items = history().map(({ name, picture, sure }) => {
    const item = document.createElement("li");
    if (typeof picture === "string" && picture.startsWith("data:image/png")) {
      const image = document.createElement("img");
      image.src = picture;
      image.alt = "";
      item.append(image);
    }
    const title = document.createElement("strong");
    title.textContent = name;
    const number = document.createElement("span");
    number.textContent = ` ${sure}`;
    item.append(title, number);
    return item;
  });
  byId("history-list").replaceChildren(...items);
  byId("history").hidden = !items.length;
}

input.addEventListener("change", show);
camera.addEventListener("change", () => choose(camera.files));
form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (input.files.length) send();
});
for (const kind of ["dragenter", "dragover"]) {
  drop.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
}
for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("over"));
drop.addEventListener("drop", (event) => {
  event.preventDefault();
  choose(event.dataTransfer.files);
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData?.files.length) choose(event.clipboardData.files);
});
// What people say of an answer: the same forms, without leaving the page.
result.addEventListener("submit", async (event) => {
  const said = event.target;
  if (!said.classList.contains("say")) return;
  event.preventDefault();
  const review = said.closest(".review");
  try {
    const answer = await fetch(said.action, { method: "POST", body: new URLSearchParams(new FormData(said)), headers: { accept: "text/html" }, signal: AbortSignal.timeout(20000) });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const text = page.querySelector("#result p")?.textContent ?? "Thank you.";
    const note = document.createElement("p");
    note.className = "quiet-text";
    note.setAttribute("role", answer.ok ? "status" : "alert");
    note.textContent = text;
    review.replaceWith(note);
  } catch {
    result.append(complaint("The server could not be reached.", "See that it runs, and try again."));
  }
});
byId("forget").addEventListener("click", () => {
  localStorage.removeItem(HISTORY);
  showHistory();
});
if (input.files.length) show();
showHistory();
