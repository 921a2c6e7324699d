// The state of the node and of the chain, asked through the server's proxy to bitcoind's RPC.

import { ask, bytes, every, number, percent, progress, show, span, state, text } from './page.js';

const WARMING_UP = -28;
const networks = { main: 'Mainnet', test: 'Testnet 3', testnet4: 'Testnet 4', signet: 'Signet', regtest: 'Regtest' };

/** Why there is no answer. Kind: unreachable, refused, warming or failed. */
class Trouble extends Error {
  constructor(kind, message = '') {
    super(message);
    this.kind = kind;
  }
}

async function rpc(method) {
  const answer = await ask('bitcoin-rpc/', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ jsonrpc: '1.0', id: 'page', method, params: [] }),
  }).catch(() => { throw new Trouble('unreachable'); });
  if (answer.status === 401 || answer.status === 403) throw new Trouble('refused');
  const body = await answer.json().catch(() => null);
  if (body?.error?.code === WARMING_UP) throw new Trouble('warming', body.error.message);
  if (body?.error) throw new Trouble('failed', body.error.message);
  if (!answer.ok || !body) throw new Trouble('unreachable');
  return body.result;
}

async function refresh() {
  try {
    const [chain, net, pool, uptime] = await Promise.all(
      ['getblockchaininfo', 'getnetworkinfo', 'getmempoolinfo', 'uptime'].map(rpc));
    showChain(chain, net);
    showNode(chain, net, pool, uptime);
    showWarnings([net.warnings, chain.warnings]);
    show('trouble', false);
  } catch (err) {
    if (!(err instanceof Trouble)) throw err;
    showTrouble(err);
  }
  // Numbers of the last good answer must not stand beside bad news.
  const fine = document.getElementById('trouble').hidden;
  show('chain', fine);
  show('details', fine);
}

function showChain(chain, net) {
  // One header ahead is a block that is just being checked.
  const behind = chain.headers - chain.blocks;
  const syncing = chain.initialblockdownload || behind > 1;
  if (!net.networkactive || net.connections === 0) state('busy', net.networkactive ? 'No peers' : 'Network off');
  else if (syncing) state('busy', 'Syncing');
  else state('good', 'Up to date');

  text('blocks', number(chain.blocks));
  text('blocktime', blockTime(chain));
  show('sync', syncing);
  progress('bar', chain.verificationprogress);
  text('percent', percent(chain.verificationprogress));
  text('behind', behind > 0
    ? `${number(behind)} of ${number(chain.headers)} blocks to go`
    : 'looking for newer blocks');
  showTimeLeft(syncing ? chain.verificationprogress : null);
}

function blockTime(chain) {
  if (!chain.time) return '';
  const age = Date.now() / 1000 - chain.time;
  const when = new Date(chain.time * 1000);
  if (age > 2 * 86400) return 'Mined on ' + when.toLocaleDateString('en', { dateStyle: 'long' });
  return age < 60 ? 'Mined just now' : `Mined ${span(age)} ago`;
}

// The first sample of this visit: what was done since then gives the rate.
let first = null;

function showTimeLeft(share) {
  const now = Date.now() / 1000;
  if (share === null || first === null || share < first.share) {
    first = share === null ? null : { now, share };
    show('left', false);
    return;
  }
  const gained = share - first.share;
  const known = now - first.now > 60 && gained > 0;
  if (known) text('left', `About ${span((1 - share) * (now - first.now) / gained)} left at the present rate`);
  show('left', known);
}

function showNode(chain, net, pool, uptime) {
  text('version', net.subversion.replace(/^\/|\/$/g, '').replaceAll('/', ' · '));
  text('network', networks[chain.chain] ?? chain.chain);
  text('peers', number(net.connections));
  text('direction', `${net.connections_in ?? 0} in, ${net.connections_out ?? 0} out`);
  text('mempool', `${number(pool.size)} ${pool.size === 1 ? 'transaction' : 'transactions'}`);
  text('mempoolsize', pool.loaded === false ? 'still loading' : bytes(pool.bytes));
  text('storage', chain.pruned ? 'Pruned' : 'Archival');
  text('storagenote', chain.pruned ? `from block ${number(chain.pruneheight ?? 0)}` : 'the full chain');
  text('size', bytes(chain.size_on_disk));
  text('uptime', span(uptime));
}

/** Older nodes send one text, newer ones a list; both answers may say the same. */
function showWarnings(sources) {
  const unique = [...new Set(sources.flat().filter(Boolean))];
  const list = document.getElementById('warninglist');
  if (list.dataset.shown !== unique.join('\n')) {
    list.dataset.shown = unique.join('\n');
    list.replaceChildren(...unique.map((warning) => {
      const item = document.createElement('li');
      item.textContent = warning;
      return item;
    }));
  }
  show('warnings', unique.length > 0);
}

const troubles = {
  warming: ['busy', 'Warming up', 'The node is starting',
    'It reads its block index before it answers. After a clean stop that takes a minute or two, after a crash longer.'],
  refused: ['down', 'No access', 'The node refused this page',
    'The password of this page is not the one that the node expects. On the node, “archy reconcile” writes both anew.'],
  unreachable: ['down', 'No answer', 'The node does not answer',
    'It is stopped, still being started, or too busy. On the node, “archy status” tells which. This page keeps asking.'],
  failed: ['down', 'Error', 'The node answered with an error', ''],
};

function showTrouble({ kind, message }) {
  const [colour, pill, problem, explanation] = troubles[kind];
  state(colour, pill);
  text('problem', problem);
  text('explanation', [message && message.replace(/[.…]*$/, '.'), explanation].filter(Boolean).join(' '));
  show('trouble', true);
  show('warnings', false);
  first = null;
}

every(5, refresh);
