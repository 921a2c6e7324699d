package secrets

import "fmt"

// The ways in which consumers hold a secret.
type hold int

const (
	eachStart  hold = iota // read at every start: a new file and a restart are all that it takes
	inDatabase             // also inside the app's data: changing only the file locks the app out
	atInit                 // read once, when the app's data is made: changing only the file changes nothing
	operator               // the operator's own text
	never                  // a new value makes no sense
)

type rotationRule struct {
	hold    hold
	instead string // what to do instead, when the file alone may not change
}

var rotationRules = map[string]rotationRule{
	"bitcoin-rpc-password":    {hold: eachStart},
	"fmcd-password":           {hold: eachStart},
	"fedimint-gateway-hash":   {hold: eachStart},
	"vaultwarden-admin-token": {hold: eachStart},
	"searxng-secret":          {hold: eachStart},
	"onlyoffice-jwt-secret":   {hold: eachStart},

	"mempool-db-password": {inDatabase,
		"set the new password for user mempool inside archy-mempool-db (ALTER USER), then write it to the file and run archy reconcile"},
	"mysql-root-db-password": {inDatabase,
		"set the new password for user root inside archy-mempool-db (ALTER USER), then write it to the file and run archy reconcile"},
	"btcpay-db-password": {inDatabase,
		"set the new password for role btcpay inside archy-btcpay-db (ALTER ROLE), then write it to the file and run archy reconcile"},
	"immich-db-password": {inDatabase,
		"set the new password for role postgres inside immich_postgres (ALTER ROLE), then write it to the file and run archy reconcile"},
	"lnd-wallet-password": {inDatabase,
		"run lncli changepassword on the locked wallet, then write the new password to the file and run archy reconcile"},

	"filebrowser-admin-hash":   {atInit, "change the password in File Browser's user settings"},
	"grafana-admin-password":   {atInit, "run grafana cli admin reset-admin-password inside the container"},
	"nextcloud-admin-password": {atInit, "run occ user:resetpassword admin inside the container"},
	"photoprism-admin-password": {atInit,
		"run photoprism passwd admin inside the container"},
	"portainer-admin-password": {atInit, "change the password in Portainer's user settings"},

	"fmcd-invite-code":           {operator, "write the new code to the file and run archy reconcile"},
	"tailscale-authkey":          {operator, "write the new key to the file and run archy reconcile"},
	"lnd-wallet-password-legacy": {operator, "write the wallet's real password to the file"},

	"lnd-seed": {never, "a seed belongs to its wallet for ever; a new one needs a new wallet"},
}

// RotationRule says whether the secret of that name may be replaced while the apps that read it have data; if not,
// reason says why and what to do instead.
func RotationRule(name string) (ok bool, reason string) { return RotationRuleFor(name, true) }

// RotationRuleFor is RotationRule for an app whose data is present or not: without data a database or an
// administrator's password is still free to change.
func RotationRuleFor(name string, dataPresent bool) (ok bool, reason string) {
	rule, known := rotationRules[name]
	if !known {
		return false, fmt.Sprintf("%s: archy does not know how its app keeps this secret; "+
			"change it in the app first, then write the new value to the file and run archy reconcile", name)
	}
	switch rule.hold {
	case eachStart:
		return true, ""
	case inDatabase:
		if !dataPresent {
			return true, ""
		}
		return false, fmt.Sprintf("%s is stored in the app's data too: a new file alone would lock the app out; %s", name, rule.instead)
	case atInit:
		if !dataPresent {
			return true, ""
		}
		return false, fmt.Sprintf("%s is read only when the app's data is made: a new file alone would change nothing; %s", name, rule.instead)
	case operator:
		return false, fmt.Sprintf("%s is the operator's own text; %s", name, rule.instead)
	default:
		return false, fmt.Sprintf("%s cannot be rotated; %s", name, rule.instead)
	}
}

// GenerationRule says whether a secret that is missing may be made anew. Where the app's data holds the old value, a
// new one would lock the app out; reason then says what to do.
func GenerationRule(name string, dataPresent bool) (ok bool, reason string) {
	if !dataPresent {
		return true, ""
	}
	switch rule, known := rotationRules[name]; {
	case known && (rule.hold == eachStart || rule.hold == atInit):
		return true, ""
	case known && rule.hold == operator:
		return false, fmt.Sprintf("%s is the operator's own text; %s", name, rule.instead)
	case known && rule.hold == never:
		return false, fmt.Sprintf("%s cannot be made again; %s", name, rule.instead)
	default:
		return false, fmt.Sprintf("%s is missing although its app has data, which holds the old value; "+
			"put the old value back into the file, from a backup or from the container that still has it", name)
	}
}
