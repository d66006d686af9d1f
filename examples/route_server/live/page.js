// The page: receives the stream of events, and passes each event to the part that shows it.
//
// A stream that breaks or falls silent is opened again until it works, and goes on after the last
// report that the page has seen. While the page is paused there is no stream, and the server takes
// no figures for the page.

import { bound, connectForms } from "/live/actions.js";
import { Figures, time } from "/live/figures.js";
import { Reports } from "/live/reports.js";

/** The milliseconds until the next try. */
const AGAIN = 1000;
/** The number of missing samples after which the stream counts as broken. */
const SILENCE = 10;

const byId = (id) => document.getElementById(id);
const figures = new Figures(byId("figures"));
const reports = new Reports(byId("reports"), byId("reports-none"));
const connection = byId("connection");
const pause = byId("pause");

let stream = null;
let timer = null;
let interval = 500;
let lastReport = "";

function show(state, text) {
  if (connection.dataset.state !== state) {
    connection.dataset.state = state;
    connection.textContent = text;
  }
}

function after(milliseconds, act) {
  clearTimeout(timer);
  timer = setTimeout(act, milliseconds);
}

function close() {
  clearTimeout(timer);
  stream?.close();
  stream = null;
}

function lost() {
  close();
  show("lost", "connection lost, trying again");
  after(AGAIN, open);
}

function open() {
  close();
  const query = lastReport ? `?after=${encodeURIComponent(lastReport)}` : "";
  stream = new EventSource(`/events${query}`);
  const on = (name, act) =>
    stream.addEventListener(name, (event) => act(JSON.parse(event.data), event));
  on("hello", (hello) => {
    interval = hello.interval_ms;
    bound(hello);
    reports.hello(hello);
    const places = hello.places
      ? ""
      : " This build does not record where guards are made (feature locations).";
    const buttons = hello.buttons
      ? ""
      : " Only the reload button works: other machines can reach this server.";
    byId("server").textContent =
      `async-rcu ${hello.version}; table: ${hello.source}; barrier: ${hello.barrier}; ` +
      `stalls are reported after ${time(hello.stall_timeout_ms)}.${places}${buttons}`;
  });
  on("sample", (sample) => {
    show("live", "live");
    figures.add(sample, interval / 1000);
    after(SILENCE * interval, lost);
  });
  on("report", (report, event) => {
    lastReport = event.lastEventId;
    reports.add(report);
  });
  on("missed", (missed) => reports.missed(missed));
  stream.onerror = lost;
}

pause.addEventListener("click", () => {
  const paused = connection.dataset.state !== "paused";
  pause.textContent = paused ? "Resume" : "Pause";
  if (paused) {
    close();
    show("paused", "paused");
  } else {
    show("opening", "connecting");
    open();
  }
});

const table = byId("table");
const tabulate = () => figures.tabulate(table.querySelector("tbody"));
table.addEventListener("toggle", () => table.open && tabulate());
byId("table-again").addEventListener("click", tabulate);

connectForms();
open();
