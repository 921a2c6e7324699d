package reconcile

import (
	"context"
	"errors"
	"os"
	"path"
	"slices"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/podman"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
	"git.tx1138.com/lfg2025/archy/internal/state"
	"git.tx1138.com/lfg2025/archy/internal/wallet"
)

// The apps' kinds of wallet.
const (
	bitcoinWallet = "bitcoin"
	lndWallet     = "lnd"
)

// The words of lnd's stages that ask for something (package stage).
const (
	stageNeedsWallet = "needs wallet"
	stageLocked      = "locked"
)

// Wallets makes, loads and opens the wallets of the apps that have one.
type Wallets interface {
	// Ensure does what the wallet of a running app needs. Its errors are those of package wallet.
	Ensure(ctx context.Context, a *App) (wallet.Report, error)
}

// Wallet is what is known of an app's wallet before anything is done.
type Wallet struct {
	Kind string
	// Exists tells that LND's wallet lies on the disk, MayCreate that one may be made where there is none.
	Exists, MayCreate bool
	// Password is the node's own for LND's wallet, Legacy the operator's; both may be missing.
	Password, Legacy secrets.Value
	// Refused tells that Password does not open the wallet.
	Refused bool
	// Lost is why LND is not started: it had a wallet, which is not on the disk any more.
	Lost *Fault
}

// startPassword is the password that LND opens its wallet with at each start, missing when it must start locked: without a
// password, with one that was refused (LND ends at once then), and while there are two of which one is right.
func (w *Wallet) startPassword() secrets.Value {
	two := !w.Legacy.Missing() && !w.Legacy.Equal(w.Password)
	if w.Exists && (w.Refused || two) {
		return secrets.Value{}
	}
	return w.Password
}

// hasKey tells that there is a password to try.
func (w *Wallet) hasKey() bool { return !w.Password.Missing() || !w.Legacy.Missing() }

// lndWallet finds out about LND's wallet. The password of a wallet that is to be made is drawn here: it is written before
// the unit, so that LND opens the new wallet by itself from the first restart on.
func (ob *observation) lndWallet(ctx context.Context, a *App, dir string) {
	host := ob.Layout.Host(dir)
	w := &Wallet{Kind: lndWallet, Exists: wallet.Exists(wallet.Wallet(host)), MayCreate: ob.Config.LND.AutoInitWallet}
	a.Wallet = w
	if w.Lost = ob.walletLost(a, dir); w.Lost != nil {
		w.MayCreate = false
	}
	var known bool
	w.Password, known = ob.secret(a, walletSecret)
	if !known && a.Fault == nil && w.MayCreate && wallet.Trace(host) == "" && !ob.onlyAdopted(a) {
		w.Password = ob.draftPassword(a)
	}
	a.Masked = append(a.Masked, w.Password)
	if !w.Exists {
		return
	}
	w.Legacy, _ = ob.Secrets.Read(wallet.LegacySecret)
	a.Masked = append(a.Masked, w.Legacy)
	w.Refused = !w.Password.Missing() && (ob.refusedBefore(a) || ob.refusedAtStart(ctx, a))
}

// walletLost: a wallet that archy made of the same seed has the node's name and none of its channels, and the peers would close them all. An owner
// who gives up where the data were begins anew.
func (ob *observation) walletLost(a *App, dir string) *Fault {
	r := a.Record
	if r == nil || !r.Installed || r.Owner != state.Quadlet || !r.Wallet.Made || ob.givenUp(a) || wallet.Trace(ob.Layout.Host(dir)) != "" {
		return nil
	}
	return &Fault{Code: "wallet-lost", Text: "lnd had a wallet, and nothing of it is in " + dir + "; none is made in its place",
		Hint: "restore " + dir + " from a backup, then: archy reconcile; or, to begin anew with the words in " + ob.Layout.Data("secrets", wallet.SeedSecret) +
			" (with others: move that file away first): archy remove " + a.ID + " --purge-data, then: archy install " + a.ID}
}

// onlyAdopted: nothing is made for a container of somebody else's that stays as it is.
func (ob *observation) onlyAdopted(a *App) bool {
	return a.Legacy() && !a.Force && !ob.Options.Migrate
}

func (ob *observation) draftPassword(a *App) secrets.Value {
	v, _, err := secrets.Draft(secrets.Hex32, ob.Random)
	if err != nil {
		return secrets.Value{}
	}
	ob.drafts[walletSecret] = Secret{Name: walletSecret, Kind: string(secrets.Hex32), Value: v}
	a.draft(ob.drafts[walletSecret])
	return v
}

// startedLately: an LND with a wrong password runs for as long as it takes to make the key of it, and is started again. The
// containers of a guess have no age.
func startedLately(a *App, now time.Time) bool {
	return a.C != nil && !a.C.StartedAt.IsZero() && age(a.C.StartedAt, now) < opensItself
}

func (ob *observation) refusedBefore(a *App) bool {
	return a.Record != nil && a.Record.Wallet.Refused != "" && a.Record.Wallet.Refused == a.Wallet.Password.Fingerprint()
}

// refusedAtStart reads it in the last words of an LND that is down or was started a short while ago, if they are younger
// than the password.
func (ob *observation) refusedAtStart(ctx context.Context, a *App) bool {
	up := a.Running() && !startedLately(a, ob.w.Now)
	if up || a.Unit == nil || a.Want != WantRunning || a.Legacy() {
		return false
	}
	info, err := os.Stat(ob.Layout.Host(path.Join(ob.Layout.Secrets(), walletSecret)))
	if err != nil {
		return false
	}
	lines, err := ob.Units.ContainerLog(ctx, a.Container, info.ModTime(), logTail)
	return err == nil && wallet.RefusedIn(lines)
}

// opensItself is how long an LND that has its password may show a locked wallet: making the key of it is slow on purpose.
const opensItself = 2 * time.Minute

// walletDue: a running LND has no wallet, or one that is locked although there is a password to try. A wallet is not made
// for an adopted one, whose owner has his own ways. Unlocking is not what a locked wallet without a password is waiting for.
func walletDue(a *App, w *World) *Verdict {
	if a.Wallet == nil || a.Wallet.Kind != lndWallet || !a.Running() {
		return nil
	}
	switch text := a.Stage.Text; {
	case a.Wallet.Lost != nil:
		return human("1", observedState(a), a.Wallet.Lost.Code, a.Wallet.Lost.Text, a.Wallet.Lost.Hint)
	case text == stageNeedsWallet && a.Legacy():
		return nil
	case text == stageNeedsWallet && !a.Wallet.MayCreate:
		return left("1", "needs-config", "lnd has no wallet, and lnd.auto_init_wallet is false; make one: podman exec -it "+a.Container+" lncli create", ClassNeedsConfig)
	case text == stageLocked && !a.Legacy() && !a.Wallet.startPassword().Missing() && age(a.C.StartedAt, w.Now) < opensItself:
		return waiting("1", text, "lnd opens its wallet")
	case text == stageNeedsWallet, text == stageLocked && a.Wallet.hasKey():
		return act("1", Updated, text, walletCause(a), stepWallet)
	}
	return nil
}

// bitcoinWalletDue: the wallets of a container are looked at once. One that does not answer yet is looked at later.
func bitcoinWalletDue(a *App) bool {
	return a.Wallet != nil && a.Wallet.Kind == bitcoinWallet && a.Managed() && a.Stage.Ready && a.Record != nil && a.Record.Wallet.ContainerID != a.C.ID
}

// walletStep lets a start be followed by what the wallet will need then.
func walletStep(a *App, v *Verdict) *Verdict {
	if v == nil || a.Wallet == nil || slices.Contains(v.Steps, stepWallet) || !slices.ContainsFunc(v.Steps, func(s step) bool { return slices.Contains(starting, s) }) {
		return v
	}
	adopted := slices.Contains(v.Steps, stepLegacy) || a.Legacy() && !slices.Contains(v.Steps, stepMigrate)
	w := a.Wallet
	due := w.Kind == bitcoinWallet && !adopted ||
		w.Kind == lndWallet && !w.Exists && w.MayCreate && !adopted ||
		w.Kind == lndWallet && w.Exists && w.hasKey() && (adopted || w.startPassword().Missing())
	if due {
		v.Steps = append(v.Steps, stepWallet)
	}
	return v
}

func walletCause(a *App) string {
	switch {
	case a.Wallet.Kind == bitcoinWallet:
		return "its container is new"
	case !a.Wallet.Exists:
		return "lnd has no wallet"
	}
	return "the wallet is locked"
}

// openWallet does what the wallet needs, and tells. bitcoin's is never a failure; LND's is one of the app. A pass that is to
// end does not wait for it: the wallet of a pass that was killed is taken up by the next.
func (r *run) openWallet(ctx context.Context, c *change) error {
	id, report, err := r.ensureWallet(ctx, c)
	c.tellWallet(report)
	if werr := r.rememberWallet(c, id, report, err); werr != nil {
		return werr
	}
	switch {
	case err == nil:
		return nil
	case r.ending.Err() != nil:
		return r.ending.Err()
	case c.Wallet.Kind == lndWallet:
		return c.walletFailed(err)
	case !errors.Is(err, wallet.ErrNotReady):
		c.result.Detail = cause(c.result.Detail, "warning: "+err.Error())
	}
	return nil
}

// ensureWallet asks at the ports of the container that runs now, and says which one that is.
func (r *run) ensureWallet(ctx context.Context, c *change) (id string, report wallet.Report, err error) {
	got, err := r.Engine.Inspect(ctx, c.liveName())
	if err != nil {
		return "", report, err
	}
	now := *c.App
	now.C = &podman.Container{ID: got.ID, Name: got.Name, State: got.State.Status, Pid: got.State.Pid, StartedAt: got.State.StartedAt, Labels: got.Labels, Ports: got.Ports}
	limited, cancel := context.WithTimeout(r.ending, walletLimit)
	defer cancel()
	report, err = r.Wallets.Ensure(limited, &now)
	return got.ID, report, err
}

// walletLimit bounds all that is done about one wallet: the patience with an LND that is not ready, and a margin.
const walletLimit = 150 * time.Second

// tellWallet puts what was done into the app's result.
func (c *change) tellWallet(report wallet.Report) {
	switch {
	case report.Did != "":
		c.changed = true
		if c.result.Action == NoOp {
			c.result.Action = Updated
		}
	case c.result.Action == Updated && !c.changed:
		c.result.Action = NoOp // somebody else was faster
	}
	c.result.Detail = cause(append([]string{c.result.Detail, report.Did}, report.Warnings...)...)
}

// rememberWallet keeps which container was looked at, and which password is wrong. A password that opened the wallet after all
// is forgotten to be wrong.
func (r *run) rememberWallet(c *change, id string, report wallet.Report, err error) error {
	next := c.record.Wallet
	switch {
	case c.Wallet.Kind == bitcoinWallet && err == nil:
		next.ContainerID = id
	case !report.Refused.Missing():
		next.Refused = report.Refused.Fingerprint()
	case report.Did != "":
		next.Refused, next.Made = "", c.Wallet.Kind == lndWallet
	}
	if next == c.record.Wallet {
		return nil
	}
	c.record.Wallet = next
	return r.Records.WriteRecord(c.record)
}

// noteWallet remembers that LND has a wallet.
func (c *change) noteWallet() {
	c.record.Wallet.Made = c.record.Wallet.Made || c.Wallet != nil && c.Wallet.Kind == lndWallet && c.Wallet.Exists
}

// refreshWallet is noteWallet for an app that this pass only looked at: its record may be one of an older archy.
func (r *run) refreshWallet(c *change) error {
	if c.Record == nil || c.record.Wallet.Made || !c.Managed() || c.changed || !c.record.Installed || c.record.Op != nil || c.lock != nil {
		return nil
	}
	if c.noteWallet(); !c.record.Wallet.Made {
		return nil
	}
	return r.writeUnlessOvertaken(c)
}

// walletFailed gives the error of a wallet its place in the result.
func (c *change) walletFailed(err error) error {
	var human *wallet.HumanError
	switch {
	case errors.As(err, &human):
		c.result.Action, c.result.Class, c.result.Cause = NeedsHuman, ClassNeedsHuman, human.Text
		c.result.State = stageLocked
		if human.Code != wallet.PasswordCode {
			c.result.State = stageNeedsWallet
		}
		c.result.Error = &AppError{Code: human.Code, Message: human.Text, Hint: human.Hint}
		return err
	case errors.Is(err, wallet.ErrNotReady):
		c.result.Class, c.result.Cause = ClassWaiting, cause(c.result.Cause, "the wallet has to wait: "+err.Error())
		if c.result.Action == Updated {
			c.result.Action = Waiting
		}
		return errStop
	case errors.Is(err, wallet.ErrNoWallet):
		c.result.Action, c.result.Class, c.result.State, c.result.Cause = Left, ClassNeedsConfig, "needs-config", err.Error()
		return errStop
	}
	c.result.Error = &AppError{Code: "wallet", Message: err.Error(), Hint: "the wallet was not touched; see: archy logs " + c.ID}
	return err
}

// diedOfPassword tells that LND ended because its password file does not open the wallet.
func (c *change) diedOfPassword() bool {
	return c.Wallet != nil && c.Wallet.Kind == lndWallet && c.Wallet.Exists && !c.Wallet.startPassword().Missing() &&
		c.result.Error != nil && wallet.RefusedIn(c.result.Error.LogTail)
}

// passwordRefused: from now on LND starts with a locked wallet, and its passwords are tried one after the other.
func (r *run) passwordRefused(c *change) error {
	human := wallet.Refusal(walletSecret, r.Secrets.Path(wallet.LegacySecret))
	c.result.Action, c.result.Class, c.result.State, c.result.Cause = NeedsHuman, ClassNeedsHuman, "failed", human.Text
	c.result.Error = &AppError{Code: human.Code, Message: human.Text, Hint: human.Hint, LogTail: c.result.Error.LogTail}
	c.record.Wallet.Refused = c.Wallet.Password.Fingerprint()
	c.record.Op, c.plan.Counted = nil, false
	if err := errors.Join(r.Records.WriteRecord(c.record), r.Records.DropPrevUnit(c.Container)); err != nil {
		return err
	}
	return human
}
