// Makes the form quicker to use: preview, drag and drop, and the answer without leaving the page. Without it the form works too.
const form = document.getElementById("form"), file = document.getElementById("file"), drop = document.getElementById("drop");
const preview = document.getElementById("preview"), hint = document.getElementById("hint"), ask = document.getElementById("ask");
const result = document.getElementById("result");
function show() {
  const photo = file.files[0];
  preview.hidden = !photo;
  hint.hidden = !!photo;
  if (photo) preview.src = URL.createObjectURL(photo);
}
file.addEventListener("change", () => { show(); result.replaceChildren(); });
for (const kind of ["dragover", "dragleave", "drop"]) drop.addEventListener(kind, (event) => {
  event.preventDefault();
  drop.classList.toggle("over", kind === "dragover");
  if (kind === "drop" && event.dataTransfer.files.length) { file.files = event.dataTransfer.files; show(); result.replaceChildren(); }
});
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  ask.disabled = true;
  ask.textContent = "Looking…";
  try {
    const answer = await fetch("/predict", { method: "POST", body: new FormData(form), headers: { accept: "text/html" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    result.replaceChildren(...page.getElementById("result").childNodes);
  } catch {
    const text = document.createElement("p");
    text.className = "error";
    text.textContent = "The server does not answer. Try again in a moment.";
    result.replaceChildren(text);
  }
  ask.disabled = false;
  ask.textContent = "What is it?";
});
show();
