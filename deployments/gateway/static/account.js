// The pages behind mailed links: take the token out of the address, and send it when the person presses the button
// (not before: mail scanners open links).
"use strict";

const form = document.getElementById("form");
const message = document.getElementById("message");
const password = document.getElementById("password");
const again = document.getElementById("again");
const token = new URLSearchParams(location.hash.slice(1)).get("token");
history.replaceState(null, "", location.pathname);

function say(text, kind) {
  message.textContent = text;
  message.className = kind;
}

function trouble(problem) {
  const field = (problem.errors || []).find((error) => error.field === "new_password");
  if (field) return field.message;
  return problem.detail || "This did not work. Try again later.";
}

async function send() {
  const body = { token };
  if (password) body.new_password = password.value;
  const answer = await fetch(form.dataset.call, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    credentials: "omit",
  });
  if (answer.status === 204) {
    form.hidden = true;
    say(form.dataset.done, "done");
    return;
  }
  say(trouble(await answer.json().catch(() => ({}))), "trouble");
  form.hidden = answer.status === 400;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (password && password.value !== again.value) {
    say("The two passwords are not the same.", "trouble");
    return;
  }
  const button = form.querySelector("button");
  button.disabled = true;
  say("", "");
  try {
    await send();
  } catch {
    say("The platform cannot be reached. Try again in a moment.", "trouble");
  } finally {
    button.disabled = false;
  }
});

if (token) {
  form.hidden = false;
} else {
  say("This address is incomplete. Open the link in the mail again, whole.", "trouble");
}
