// Keeps the page current by fetching it again; without this file the page works as well.
(() => {
  "use strict";
  const PERIOD = 3000; // milliseconds
  const status = () => document.getElementById("live");

  const tell = (message, bad) => {
    const line = status();
    line.textContent = message;
    line.classList.toggle("bad", bad);
    line.hidden = false;
  };

  const refresh = async () => {
    if (document.hidden) return;
    try {
      // After a form that was refused the address is that of the form.
      const address = location.pathname === "/" ? location.href : "/";
      const answer = await fetch(address, { cache: "no-store", signal: AbortSignal.timeout(8000) });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (!answer.ok) {
        tell("The entries cannot be read now; trying again.", true);
        return;
      }
      for (const id of ["trace", "entries"]) {
        document.getElementById(id).replaceWith(page.getElementById(id));
      }
      document.querySelector("[data-passing]")?.remove();
      tell("Live", false);
    } catch (error) {
      tell("No answer; trying again.", true);
    }
  };

  const run = () => refresh().finally(() => setTimeout(run, PERIOD));
  setTimeout(run, PERIOD);
})();
