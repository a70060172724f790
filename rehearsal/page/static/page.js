"use strict";
// Asks for the stack's state each second and changes the drawing to it. Text goes in as text, never as markup.
const token = document.querySelector("meta[name=token]").content;
const one = (id) => document.getElementById(id);
const chip = (server, role) => document.querySelector(`g[data-server="${server}"][data-role="${role}"]`);
const per = (rate) => `${rate.toFixed(rate < 10 ? 1 : 0)} requests/s`;
let failures = 0, lastGood = null;

function element(tag, text, style) {
  const made = document.createElement(tag);
  made.textContent = text;
  if (style) made.className = style;
  return made;
}

function label(server, role, state, name, text) {
  const group = chip(server, role);
  if (!group) return;
  group.setAttribute("class", state);
  const [title, detail] = group.querySelectorAll("text");
  if (name) title.textContent = name;
  detail.textContent = text;
}

function showServer(server) {
  const { name, now } = server, off = now.power !== "running";
  const box = document.querySelector(`rect.server[data-server="${name}"]`);
  if (box) box.setAttribute("class", `server${off ? " off" : now.severed ? " severed" : ""}`);
  const none = off ? "no power" : "no answer";
  const balancer = now.balancer;
  label(name, "load_balancer", !balancer ? "down" : balancer.apps_up.length ? "up" : "down", null, !balancer ? none :
    `${per(balancer.requests_per_second)}${balancer.errors_per_second ? `, ${balancer.errors_per_second.toFixed(1)} errors/s` : ""}`);
  label(name, "app", !now.app ? "unknown" : now.app.up ? "up" : "down", null,
    !now.app ? "no load balancer to ask" : now.app.up ? per(now.app.requests_per_second) : off ? none : "down for all load balancers");
  for (const role of ["database", "read_replica"]) {
    const database = now.database;
    const fine = database && (role === "read_replica" || database.member_state === "ONLINE");
    const behind = database && (database.behind > 0 ? `, ${database.behind} behind` : "");
    label(name, role, fine ? "up" : "down", role === "database" ? `${database ? database.role : "member"} database` : null,
      !database ? none : role === "database" ? `${database.member_state}${behind || `, ${database.online} of ${database.members} online`}` : `follows${behind}`);
    const shape = chip(name, role)?.querySelector(".chip");
    if (shape) shape.classList.toggle("primary", Boolean(database && database.role === "primary"));
  }
  if (now.monitoring) label(name, "monitoring", now.monitoring.answers ? "up" : "down", null,
    now.monitoring.answers ? "Prometheus answers" : none);
  showRow(server, off);
}

function showRow(server, off) {
  const { name, now } = server, row = document.querySelector(`tr[data-row="${name}"]`);
  if (!row) return;
  const troubled = server.problems.length > 0 || server.healthy === false;
  const [word, style] = off ? [now.power, "bad"] : now.severed ? ["severed", "bad"] :
    server.healthy === null ? ["running", "quiet"] : troubled ? ["not healthy", "bad"] : ["healthy", "good"];
  row.querySelector(".state").replaceChildren(element("span", word, style),
    ...(off ? [] : server.problems.map((problem) => element("span", problem, "problems"))));
  row.querySelector(".database").textContent = now.database ? `${now.database.role}, ${now.database.member_state}` : "";
  offer(row, ".power", off ? "start" : "kill", off ? "switch on" : "cut power", true);
  offer(row, ".cable", now.severed ? "heal" : "cut", now.severed ? "plug in" : "pull cable", now.severed || !off);
  offer(row, ".crash", "crash-mysql", "kill mysqld", !off && Boolean(now.database));
}

function offer(row, which, action, text, useful) {
  const button = row.querySelector(which);
  if (!button) return;
  button.dataset.action = action;
  if (button.textContent !== text) button.textContent = text;
  button.disabled = !useful;
}

function showLines(status) {
  const servers = Object.fromEntries(status.servers.map((server) => [server.name, server.now]));
  const holders = Object.values(status.elastic);
  for (const line of document.querySelectorAll("path[data-from]")) {
    const [from, to] = [line.dataset.from, line.dataset.to.split("/")];
    const target = servers[to[0]];
    if (from === "edge") {
      const here = !holders.length || holders.includes(to[0]);
      const flows = here && target?.balancer;
      line.removeAttribute("stroke-dasharray");
      line.setAttribute("class", `line requests${here ? flows ? "" : " idle" : " waits"}${flows && target.balancer.requests_per_second > 0 ? " busy" : ""}`);
      continue;
    }
    const source = servers[from.split("/")[0]];
    if (to[1] === "app") {
      const up = source?.balancer?.apps_up.includes(to[0]);
      line.setAttribute("class", `line requests${up ? "" : " idle"}${up && source.balancer.requests_per_second > 0 ? " busy" : ""}`);
    } else {
      const writes = source?.writer?.includes(to[0]), reads = source?.readers?.includes(to[0]);
      line.setAttribute("class", `line ${writes ? "writes" : "reads"}${writes || reads ? "" : " idle"}`);
    }
  }
}

function show(status) {
  const problems = status.servers.filter((server) => server.now.power !== "running" || server.now.severed || server.healthy === false);
  const waiting = status.servers.some((server) => server.healthy === null);
  const [verdict, style] = problems.length ? [`not healthy: ${problems.map((server) => server.name).join(", ")}`, "bad"] :
    !status.primary ? ["nobody takes writes", "bad"] : waiting ? ["asking the servers…", ""] : status.healthy ? ["healthy", "good"] : ["not complete", "bad"];
  if (one("verdict").textContent !== verdict) one("verdict").textContent = verdict;
  one("verdict").className = `badge ${style}`;
  if (status.url && !one("site").firstChild) {
    const link = element("a", status.url);
    link.href = status.url;
    one("site").replaceChildren("site: ", link);
  }
  const edge = document.querySelector("rect.edge + text");
  const addresses = Object.entries(status.elastic);
  if (edge && addresses.length === 1) edge.textContent = `Elastic IP ${addresses[0][0]}`;
  for (const server of status.servers) showServer(server);
  showLines(status);
  one("alerts").replaceChildren(...(status.alerts.length ? status.alerts.map((alert) => {
    const item = element("li", `${alert.name}${alert.server ? ` (${alert.server})` : ""}: ${alert.state}`, alert.state === "firing" ? "bad" : "quiet");
    if (alert.text) item.append(element("span", alert.text, "problems"));
    return item;
  }) : [element("li", status.alerts_known ? "none" : "unknown: no Prometheus answers", status.alerts_known ? "good" : "bad")]));
  one("events").replaceChildren(...(status.events.length ? status.events.map((event) => {
    const item = document.createElement("li");
    item.append(element("time", new Date(event.at * 1000).toLocaleTimeString()), element("b", event.subject), ` ${event.text}`);
    return item;
  }) : [element("li", "nothing yet: break something", "quiet")]));
}

async function refresh() {
  try {
    const answer = await fetch("status.json", { signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error(`${answer.status}`);
    show(await answer.json());
    failures = 0;
    lastGood = Date.now();
    document.body.classList.remove("lost");
    one("gone").hidden = true;
  } catch (error) {
    failures += 1;
    if (failures >= 2) {
      document.body.classList.add("lost");
      one("gone").hidden = false;
      one("gone").textContent = error instanceof TypeError && String(error).includes("fetch") ?
        "This rehearsal is no longer running. What is shown is how it was last seen." :
        `The rehearsal does not answer (${error.message}). What is shown is how it was last seen.`;
      one("verdict").textContent = "not known";
      one("verdict").className = "badge";
      for (const button of document.querySelectorAll("button")) button.disabled = true;
    }
  }
  one("age").textContent = lastGood ? `seen ${new Date(lastGood).toLocaleTimeString()}` : "";
  setTimeout(refresh, 1000);
}

document.querySelector("tbody").addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const server = button.closest("tr").dataset.row;
  button.disabled = true;
  one("done").textContent = `${server}: ${button.textContent}…`;
  try {
    const answer = await fetch("actions", { method: "POST", body: JSON.stringify({ action: button.dataset.action, server }),
      headers: { "Content-Type": "application/json", "X-Tripod-Token": token } });
    const said = await answer.json();
    one("done").textContent = `${server}: ${said.done ?? said.error}`;
  } catch (error) {
    one("done").textContent = `${server}: ${error.message}`;
  }
});

refresh();
