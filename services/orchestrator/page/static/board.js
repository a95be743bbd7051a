// The page works without this file. With it the board is live, cards glide, and a story opens over the board.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const board = byId("board");
  const dialog = byId("story");
  const live = byId("live");
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  // More cards than this move at once: then nobody could follow them anyway.
  const MOST_GLIDING = 24;

  // --- live ---

  const places = () => new Map([...board.querySelectorAll(".card")].map((card) => [card.id, card.closest(".bucket").id]));

  function replace(pieces) {
    const focused = document.activeElement;
    const again = focused && focused !== document.body ? selector(focused) : null;
    const scrolled = new Map([...document.querySelectorAll(".wide")].map((box, i) => [i, box.scrollLeft]));
    for (const [id, html] of Object.entries(pieces)) {
      const old = byId(id);
      if (!old) continue;
      const made = document.createElement("template");
      made.innerHTML = html.trim();
      old.replaceWith(made.content.firstElementChild);
    }
    document.querySelectorAll(".wide").forEach((box, i) => { box.scrollLeft = scrolled.get(i) || 0; });
    // A token was made since this page was loaded: its buttons need the form.
    if (document.querySelector('button[form="act"]') && !byId("act")) location.reload();
    if (again && !focused.isConnected) document.querySelector(again)?.focus({ preventScroll: true });
  }

  function selector(element) {
    if (element.id) return `#${CSS.escape(element.id)}`;
    if (element.name === "do") return `button[value="${CSS.escape(element.value)}"]`;
    if (element.className === "events") return ".events";
    const section = element.closest("section[id]");
    const href = element.getAttribute("href");
    return section && href ? `#${CSS.escape(section.id)} a[href="${CSS.escape(href)}"]` : null;
  }

  // Named only while they move: everything else on the page stands still.
  function name(ids, on) {
    for (const id of ids) {
      const card = byId(id);
      if (card) card.style.viewTransitionName = on ? id.replace(/[^A-Za-z0-9_-]/g, "_") : "";
    }
  }

  function apply(pieces) {
    const before = places();
    const moving = incoming(pieces, before);
    if (!moving.length || moving.length > MOST_GLIDING || calm.matches || document.hidden || dialog?.open || !document.startViewTransition) {
      replace(pieces);
      return;
    }
    name(moving, true);
    const glide = document.startViewTransition(() => { replace(pieces); name(moving, true); });
    // A page that is hidden or replaced meanwhile just shows the new state.
    glide.ready.catch(() => {});
    glide.finished.then(() => name(moving, false), () => {});
  }

  function incoming(pieces, before) {
    const found = [];
    for (const [id, html] of Object.entries(pieces)) {
      if (!id.startsWith("bucket-")) continue;
      for (const [, card] of html.matchAll(/class="card [a-z]+" id="([^"]+)"/g)) {
        if (before.has(card) && before.get(card) !== id) found.push(card);
      }
    }
    return found;
  }

  // While somebody presses or marks something, it stays where it is: what has changed meanwhile is put in place after.
  let pressed = false;
  let waiting = {};
  const flush = () => {
    if (pressed || !Object.keys(waiting).length) return;
    const marked = !getSelection().isCollapsed;
    if (live.className === "on") live.textContent = marked ? "waits while text is marked" : "live";
    if (marked) return;
    const pieces = waiting;
    waiting = {};
    apply(pieces);
    follow();
  };
  addEventListener("pointerdown", () => { pressed = true; }, true);
  for (const kind of ["pointerup", "pointercancel"]) {
    // The click comes after it, and goes first.
    addEventListener(kind, () => setTimeout(() => { pressed = false; flush(); }), true);
  }
  document.addEventListener("selectionchange", flush);

  let stream = null;
  // A browser opens only six connections to one server: a page that nobody sees gives its own back.
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) listen();
    else if (stream) stream = stream.close();
  });

  function listen() {
    if (stream && stream.readyState !== EventSource.CLOSED) return;
    stream = new EventSource("/events");
    stream.onopen = () => { live.className = "on"; live.textContent = "live"; live.title = "Reload"; };
    stream.onmessage = (event) => { Object.assign(waiting, JSON.parse(event.data)); flush(); };
    stream.onerror = ({ target }) => {
      live.className = "off";
      live.textContent = `not live since ${new Date().toLocaleTimeString()}: the orchestrator does not answer`;
      if (target.readyState === EventSource.CLOSED) setTimeout(listen, 5000);
    };
  }

  // --- a book's story, over the board ---

  async function story(href) {
    const answer = await fetch(href, { headers: { Accept: "text/html" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const found = page.querySelector("main");
    found.querySelector("input[name=page]")?.remove();
    return found;
  }

  async function open(href) {
    const found = await story(href);
    if (dialog.open && dialog.dataset.href === href && swap(found)) return;
    const close = Object.assign(document.createElement("button"), { type: "button", className: "close", textContent: "Close" });
    close.onclick = () => dialog.close();
    const body = Object.assign(document.createElement("div"), { className: "story" });
    body.append(...found.childNodes);
    // The fields are needed where the buttons are; what is typed stays in them.
    const slot = body.querySelector("#act");
    if (slot) slot.replaceWith(byId("said"), byId("act"));
    else body.append(...shared());
    dialog.replaceChildren(close, body);
    dialog.dataset.href = href;
    if (!dialog.open) dialog.showModal();
  }

  // The parts of an open story that have changed; false when it has no parts, as a book that is unknown.
  function swap(found) {
    const parts = [".head", ".rest"].map((part) => [dialog.querySelector(part), found.querySelector(part)]);
    if (parts.some(([old, made]) => !old || !made)) return false;
    const focused = document.activeElement;
    const again = dialog.contains(focused) ? selector(focused) : null;
    const sure = dialog.querySelector("input[name=sure]")?.checked;
    for (const [old, made] of parts) if (old.outerHTML !== made.outerHTML) old.replaceWith(made);
    if (sure) dialog.querySelector("input[name=sure]")?.click();
    if (!focused.isConnected) (dialog.querySelector(again) || dialog.querySelector(".deeds button, .close")).focus();
    return true;
  }

  // A story that is open follows its book.
  let followed = 0;
  function follow() {
    if (!dialog.open || Date.now() - followed < 2000) return;
    followed = Date.now();
    const href = dialog.dataset.href;
    story(href).then((found) => { if (dialog.open && dialog.dataset.href === href) swap(found); }, () => {});
  }

  const shared = () => [byId("said"), byId("act")].filter(Boolean);

  function closed() {
    byId("figures").after(...shared());
    const card = document.querySelector(`a[href="${CSS.escape(dialog.dataset.href || "")}"]`);
    card?.focus();
  }

  // --- acting ---

  function say(sentences) {
    const said = byId("said");
    said.replaceChildren(...sentences.map((text) => Object.assign(document.createElement("p"), { textContent: text })));
  }

  async function act(event) {
    event.preventDefault();
    const fields = new URLSearchParams(new FormData(event.target, event.submitter));
    event.submitter.disabled = true;
    try {
      const answer = await fetch("/act", { method: "POST", headers: { Accept: "application/json" }, body: fields, signal: AbortSignal.timeout(40000) });
      say((await answer.json()).said);
    } catch {
      say(["This page was told nothing of what was done: the orchestrator does not answer. Look again in a moment."]);
    }
    event.submitter.disabled = false;
    if (dialog?.open) await open(dialog.dataset.href);
  }

  // A book's own page is read again after a deed, as without scripts.
  if (!board) return;
  document.addEventListener("submit", (event) => { if (event.target.id === "act") act(event); });
  dialog.addEventListener("close", closed);
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="/book/"]');
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    open(link.getAttribute("href")).catch(() => { location.href = link.href; });
  });
  listen();
})();
