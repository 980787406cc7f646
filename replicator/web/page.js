"use strict";
// Each message holds the parts of the page that have changed, by the id of their element.
const mark = document.getElementById("live");
const say = (text, level) => { if (mark.textContent !== text) { mark.textContent = text; mark.className = level; } };
const follow = () => {
  const source = new EventSource("live");
  source.onmessage = (message) => {
    say("live", "good");
    for (const [id, html] of Object.entries(JSON.parse(message.data))) {
      const part = document.getElementById(id);
      if (part) part.innerHTML = html;
    }
  };
  source.onerror = () => {
    say("not live: the daemon does not answer", "bad");
    if (source.readyState === EventSource.CLOSED) setTimeout(follow, 10000);
  };
  addEventListener("pagehide", () => source.close(), { once: true });
};
addEventListener("pageshow", (event) => { if (event.persisted) follow(); });
follow();
