// Where LND is reached from here, and the state of its wallet, asked through the server's proxy to LND's REST port.

import { ask, copyButtons, every, host, state, text } from './page.js';

const addresses = {
  rest: `https://${host}:8080`,
  grpc: `${host}:10009`,
  p2p: `${host}:9735`,
};

// The states of LND's State service (lnrpc.WalletState), and the one that is ours: no answer.
const states = {
  SERVER_ACTIVE: ['good', 'Ready', 'Ready to pay and to be paid',
    'The wallet is open and LND follows the chain.'],
  RPC_ACTIVE: ['busy', 'Starting', 'Waiting for the chain',
    'The wallet is open. LND is ready once it has caught up with the Bitcoin node.'],
  UNLOCKED: ['busy', 'Starting', 'Opening the wallet',
    'The password was right; LND is loading its channels.'],
  LOCKED: ['busy', 'Locked', 'The wallet is locked',
    'LND cannot pay or be paid until the wallet is unlocked. On the node, “archy reconcile” unlocks it when it knows the password.'],
  NON_EXISTING: ['busy', 'No wallet', 'There is no wallet yet',
    'On the node, “archy reconcile” creates one, unless the configuration leaves that to you.'],
  WAITING_TO_START: ['busy', 'Starting', 'LND is starting', 'It waits for its database.'],
  NONE: ['down', 'No answer', 'LND does not answer',
    'It is stopped or still being started. On the node, “archy status” tells which. This page keeps asking.'],
};

async function walletState() {
  try {
    const answer = await ask('lnd-state');
    return answer.ok ? (await answer.json()).state : 'NONE';
  } catch {
    return 'NONE';
  }
}

async function refresh() {
  const name = await walletState();
  const [colour, pill, headline, explanation] = states[name] ?? ['', 'Unknown', `LND says ${name}`, ''];
  state(colour, pill);
  text('headline', headline);
  text('explanation', explanation);
  await showReachable(name !== 'NONE');
}

/**
 * Whether this very browser gets through to the REST port. A browser that has not been told to trust
 * LND's own certificate reports the same as for a port that is shut, so a failure proves nothing.
 */
async function showReachable(running) {
  if (!running) {
    text('browser', '');
    return;
  }
  const reached = await ask(addresses.rest + '/v1/state', { mode: 'no-cors' }).then(() => true, () => false);
  text('browser', reached
    ? 'This browser reaches the REST port.'
    : 'This browser cannot confirm that it reaches the REST port. LND signs its own certificate, so that is '
      + 'expected until you open the address above once and accept it.');
}

for (const [id, address] of Object.entries(addresses)) text(id, address);
document.getElementById('restlink').href = addresses.rest + '/v1/state';
copyButtons();
every(5, refresh);
