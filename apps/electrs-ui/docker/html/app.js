// Whether the Electrum index is ready. ElectrumX opens its port for wallets only when the index has caught up, and
// tells nobody outside of its container how far it is, so the page shows what can be known: the port and the chain.

import { ask, copyButtons, every, host, number, percent, progress, show, state, text } from './page.js';

/**
 * How the port behaves; the server's configuration says why. Open: it keeps a connection. Closed: podman's forwarder
 * takes the call, so the container runs, but nobody is behind it. Refused: not even that. Other: it talks unasked.
 */
async function askPort() {
  try {
    const { status, connect, bytes } = await (await ask('electrum-port')).json();
    if (Number(bytes) > 0) return 'other';
    if (status === '504' && connect !== '-') return 'open';
    return connect === '-' ? 'refused' : 'closed';
  } catch {
    return 'unknown';
  }
}

/** Asks again before it believes a refusal: a connection that ends at once can look like one. */
async function portState() {
  let port = 'refused';
  for (let tries = 0; port === 'refused' && tries < 3; tries++) port = await askPort();
  return port;
}

/** The chain's state, or null when it cannot be had, as while the Bitcoin node starts. */
async function chainState() {
  try {
    return (await (await ask('chain')).json()).result ?? null;
  } catch {
    return null;
  }
}

const ports = {
  open: ['Open', 'takes connections'],
  closed: ['Closed', 'opens once the index is complete'],
  refused: ['Closed', 'no connection'],
  other: ['Taken', 'another program answers there'],
  unknown: ['Not known', ''],
};

async function refresh() {
  const [port, chain] = await Promise.all([portState(), chainState()]);
  const syncing = chain !== null && (chain.initialblockdownload || chain.headers - chain.blocks > 1);
  const [colour, pill, headline, explanation] = verdict(port, chain, syncing);
  state(colour, pill);
  text('headline', headline);
  text('explanation', explanation);
  text('port', ports[port][0]);
  text('portnote', ports[port][1]);
  showChain(chain, syncing);
}

function verdict(port, chain, syncing) {
  switch (port) {
    case 'open':
      return ['good', 'Ready', 'Ready: the Electrum port is open',
        syncing ? 'Wallets can connect. The Bitcoin node is behind the network, so recent payments may be missing.'
          : 'The index is complete. Wallets can connect.'];
    case 'other':
      return ['down', 'Error', 'Something else answers on the Electrum port',
        'Port 50001 does not behave like an Electrum server. On the node, “archy status” names the cause.'];
    case 'unknown':
      return ['down', 'No answer', 'This page cannot reach the node', 'It keeps asking.'];
  }
  if (chain?.pruned) {
    return ['down', 'Not possible', 'The index needs the full chain',
      'The Bitcoin node is pruned: it has thrown away blocks that an Electrum index is made of.'];
  }
  if (port === 'refused') {
    return ['down', 'No answer', 'The Electrum server does not answer',
      'It is stopped or still being started. On the node, “archy status” tells which. This page keeps asking.'];
  }
  return ['busy', 'Indexing', 'Indexing: the Electrum port is closed', indexing(chain, syncing)];
}

function indexing(chain, syncing) {
  if (chain === null) return 'The index is made from the Bitcoin node, which does not answer just now.';
  if (syncing) return 'The index grows with the chain, and the Bitcoin node is still checking it. The first time takes days.';
  return 'The server runs but does not serve wallets yet. The first index takes from hours to days, a later start minutes.';
}

function showChain(chain, syncing) {
  show('sync', syncing);
  if (chain === null) {
    text('blocks', 'Not known');
    text('blocksnote', 'the Bitcoin node does not answer');
    text('storage', 'Not known');
    text('storagenote', '');
    return;
  }
  progress('bar', chain.verificationprogress);
  text('percent', percent(chain.verificationprogress));
  text('blocks', number(chain.blocks));
  text('blocksnote', syncing ? `of ${number(chain.headers)} blocks` : 'the node is up to date');
  text('storage', chain.pruned ? 'Pruned' : 'Archival');
  text('storagenote', chain.pruned ? 'not enough for an index' : 'the full chain');
}

text('server', `${host}:50001:t`);
text('address', `${host}:50001`);
copyButtons();
every(10, refresh);
