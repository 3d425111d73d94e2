// The page works without this script; with it there is a preview, dropping of files, and no reload.
"use strict";
const form = document.getElementById("form");
const input = document.getElementById("file");
const drop = document.getElementById("drop");
const preview = document.getElementById("preview");
const prompt = document.getElementById("prompt");
const button = document.getElementById("send");
const label = document.getElementById("label");
const result = document.getElementById("result");
const maxBytes = Number(form.dataset.maxBytes);

document.documentElement.classList.add("js");
document.getElementById("address").textContent = new URL("./", location.href).href;

function complain(message, remedy) {
  const card = document.createElement("section");
  card.className = "card error";
  card.setAttribute("role", "alert");
  const title = document.createElement("h2");
  title.textContent = "That did not work";
  card.append(title);
  for (const text of [message, remedy]) {
    const line = document.createElement("p");
    line.textContent = text;
    card.append(line);
  }
  result.replaceChildren(card);
}

function show() {
  const file = input.files[0];
  if (preview.src) URL.revokeObjectURL(preview.src);
  preview.hidden = prompt.hidden = false;
  if (!file) {
    preview.hidden = true;
    preview.removeAttribute("src");
    drop.classList.remove("chosen");
    return;
  }
  preview.src = URL.createObjectURL(file);
  prompt.hidden = true;
  drop.classList.add("chosen");
}

// A file that the browser cannot show may still be one that the server explains.
preview.addEventListener("error", () => {
  if (!preview.getAttribute("src")) return;
  preview.hidden = true;
  prompt.hidden = false;
  drop.classList.remove("chosen");
});

function busy(on) {
  button.disabled = on;
  button.classList.toggle("busy", on);
  label.textContent = on ? "Looking at it" : "What is it?";
}

async function send() {
  const file = input.files[0];
  if (file && file.size > maxBytes) {
    complain(`The file has ${file.size} bytes, more than the ${maxBytes} allowed.`, "Make the photo smaller and send it again.");
    return;
  }
  busy(true);
  try {
    const answer = await fetch(form.action, {
      method: "POST",
      body: new FormData(form),
      headers: { accept: "text/html" },
      signal: AbortSignal.timeout(60000),
    });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("result");
    if (fresh) result.replaceChildren(...fresh.children);
    else complain("The server gave an answer that cannot be shown.", "Try again in a moment.");
    result.focus({ preventScroll: true });
    result.scrollIntoView({ block: "nearest", behavior: "smooth" });
  } catch {
    complain("The server could not be reached.", "See that it runs, and try again.");
  } finally {
    busy(false);
  }
}

input.addEventListener("change", show);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  send();
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
  if (!event.dataTransfer.files.length) return;
  input.files = event.dataTransfer.files;
  show();
});
if (input.files.length) show();
