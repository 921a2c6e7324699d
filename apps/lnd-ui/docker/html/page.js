// What the pages share: text into elements, numbers for people, and a loop that asks again.
// The same file in every build context; a test keeps it so.

const $ = (id) => document.getElementById(id);

/** Writes text into an element, only when it differs: a live region speaks at each write. */
export function text(id, value) {
  const el = $(id);
  if (el.textContent !== value) el.textContent = value;
}

export function show(id, visible) {
  $(id).hidden = !visible;
}

/** The pill beside the name. State: good, busy, down, or empty for not known. */
export function state(name, words) {
  $('state').dataset.state = name;
  text('state', words);
}

export function progress(id, share) {
  const percent = Math.max(0, Math.min(100, share * 100));
  $(id).firstElementChild.style.width = percent + '%';
  $(id).setAttribute('aria-valuenow', percent.toFixed(1));
}

/** A share as percent, never rounded up to a whole that is not reached. */
export function percent(share) {
  return (Math.floor(Math.min(share, 1) * 10000) / 100).toFixed(2) + '\u00a0%';
}

const grouped = new Intl.NumberFormat('en', { useGrouping: true });
export const number = (n) => grouped.format(n);

/** Bytes in decimal units, as disks are sold. */
export function bytes(n) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let unit = 0;
  while (n >= 1000 && unit < units.length - 1) {
    n /= 1000;
    unit++;
  }
  return n.toFixed(unit > 0 && n < 100 ? 1 : 0) + '\u00a0' + units[unit];
}

/** A span of seconds in its largest unit: "40 seconds", "1 day". */
export function span(seconds) {
  const units = [['day', 86400], ['hour', 3600], ['minute', 60], ['second', 1]];
  const [name, size] = units.find(([, s]) => seconds >= s) ?? units[3];
  const n = Math.max(0, Math.floor(seconds / size));
  return `${n}\u00a0${name}${n === 1 ? '' : 's'}`;
}

/** The host that this page was opened under, which is how the node is reached from here. */
export const host = location.hostname;

/** A fetch that gives up after a while instead of waiting for a node that hangs. */
export function ask(url, options = {}) {
  return fetch(url, { cache: 'no-store', signal: AbortSignal.timeout(10000), ...options });
}

/** Runs refresh now and then every so many seconds, except while nobody looks. */
export function every(seconds, refresh) {
  let timer;
  const turn = async () => {
    clearTimeout(timer);
    if (document.hidden) return;
    try {
      await refresh();
      text('refreshed', 'Updated ' + new Date().toLocaleTimeString());
    } finally {
      clearTimeout(timer);
      timer = setTimeout(turn, seconds * 1000);
    }
  };
  document.addEventListener('visibilitychange', turn);
  turn();
}

/** Makes every button with data-copy copy the text of the element that it names. */
export function copyButtons() {
  for (const button of document.querySelectorAll('button[data-copy]')) {
    button.addEventListener('click', async () => {
      const done = await copy($(button.dataset.copy));
      button.textContent = done ? 'Copied' : 'Selected';
      setTimeout(() => { button.textContent = 'Copy'; }, 1600);
    });
  }
}

async function copy(el) {
  try {
    await navigator.clipboard.writeText(el.textContent);
    return true;
  } catch {
    // Over plain http there is no clipboard interface: select, and try the old way.
    getSelection().selectAllChildren(el);
    return document.execCommand('copy');
  }
}
